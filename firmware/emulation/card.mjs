// A memory card in SPI mode that obeys every write whenever its own rules let it, so that a hole in the driver shows.
//
// It checks CRCs only after CMD59 with argument 1 (CMD0 in its native mode and CMD8 always), takes write tokens whenever a write command is
// open, listens while it sends, forgets a command that chip select cuts off, and goes on with a read of several blocks until CMD12. Before it is
// initialised it answers on a slow clock only.
// Facts: SD Physical Layer Simplified Specification, 4.3, 4.6.2, 5, 6.4.1 and 7.
import { createHash } from 'node:crypto';

const BLOCK = 512;
/** Clocks with chip select high after power-up, in bytes (74 clocks). */
const WAKE = 10;
const SLOW = 400_000;
const [IDLE, ILLEGAL, CRC_ERROR, ADDRESS_ERROR, PARAMETER_ERROR] = [0x01, 0x04, 0x08, 0x20, 0x40];
const APPLICATION = new Set([6, 13, 14, 15, 16, 18, 22, 23, 25, 26, 38, 41, 42, 43, 44, 45, 46, 47, 48, 49, 51]);
const BEFORE_READY = new Set([0, 1, 5, 8, 55, 58, 59]);
const WHILE_LOCKED = new Set([0, 1, 8, 9, 10, 12, 13, 16, 42, 55, 58, 59]);
const CID = Buffer.from('035344' + Buffer.from('MODEL').toString('hex') + '12cafe0001018a01', 'hex');
const SCR = Buffer.from('0235800300000000', 'hex');
const STATUS = Buffer.concat([Buffer.from('0000000000000028020290', 'hex'), Buffer.alloc(53)]);

const CRC16 = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc;
});

export function crc16(data) {
  let crc = 0;
  for (const byte of data) crc = ((crc << 8) & 0xffff) ^ CRC16[(crc >> 8) ^ byte];
  return crc;
}

export function crc7(data) {
  let crc = 0;
  for (const byte of data) {
    for (let bit = 7; bit >= 0; bit--) {
      const invert = ((crc >> 6) ^ (byte >> bit)) & 1;
      crc = ((crc << 1) & 0x7f) ^ (invert ? 0x09 : 0);
    }
  }
  return crc;
}

const be16 = (value) => [value >> 8, value & 0xff];

/** Card specific data: version 1 counts 512 blocks a unit, version 2 1024. */
function csd(isHighCapacity, blocks) {
  const bytes = Buffer.from(isHighCapacity ? '400e00325b59000000007f800a400001' : '002e00325b59000000007f800a400001', 'hex');
  if (isHighCapacity) bytes.writeUIntBE(blocks / 1024 - 1, 7, 3);
  else {
    const size = blocks / 512 - 1;
    bytes[6] |= size >> 10;
    bytes[7] = (size >> 2) & 0xff;
    bytes[8] |= (size & 3) << 6;
    bytes[9] |= 0x03;
    bytes[10] |= 0x80;
  }
  return bytes;
}

export class Card {
  /**
   * `image`: content, a multiple of 1024 blocks (of 512 for `family` 'standard'). `crc`: 'honest', 'rejects' or 'ignores'. `damage`: by block,
   * a data error token or 'crc', 'nothing', 'silence'.
   */
  constructor({ image, family = 'high', crc = 'honest', locked = false, slowStart = 3, damage = {} }) {
    this.image = image;
    this.isHighCapacity = family === 'high';
    this.crc = crc;
    this.slowStart = slowStart;
    this.damage = new Map(Object.entries(damage).map(([block, what]) => [Number(block), what]));
    this.cid = CID;
    this.csd = csd(this.isHighCapacity, image.length / BLOCK);
    this.isPasswordSet = locked;
    this.other = [];
    this.counts = { commands: {}, illegal: 0, crcErrors: 0, blocksSent: 0, writeTokens: 0, changes: 0, tooFast: 0 };
    this.powerUp();
  }

  powerUp() {
    Object.assign(this, { mode: 'native', idle: true, crcOn: false, awaitsApplication: false, starts: 0, silent: false, wake: 0 });
    Object.assign(this, { frame: [], out: [], outAt: 0, sending: -1, intake: null, busy: 0, status: 0, erase: [-1, -1] });
    this.locked = this.isPasswordSet;
  }

  select(selected) {
    if (!selected && this.selected) {
      this.frame.length = 0;
      this.flush();
    }
    this.selected = selected;
  }

  flush() {
    this.out = [];
    this.outAt = 0;
  }

  push(...bytes) {
    this.out.push(...bytes);
  }

  get waiting() {
    return this.out.length - this.outAt;
  }

  /** One byte each way, on a clock of so many Hz. */
  carry(heard, clock) {
    if (this.silent) return 0xff;
    if (this.busy > 0 && this.waiting === 0) {
      this.busy--;
      return this.selected ? 0x00 : 0xff;
    }
    if (!this.selected) {
      this.wake++;
      return 0xff;
    }
    if (this.waiting === 0 && this.sending >= 0) this.sendBlock(this.sending++);
    const answer = this.waiting > 0 ? this.out[this.outAt++] : 0xff;
    if (this.outAt === this.out.length) this.flush();
    this.listen(heard, clock);
    return answer;
  }

  listen(heard, clock) {
    if (this.frame.length === 0 && this.takeData(heard)) return;
    if (this.frame.length === 0 && (heard & 0xc0) !== 0x40) return;
    this.frame.push(heard);
    if (this.frame.length === 6) this.takeFrame(this.frame.splice(0), clock > SLOW);
  }

  takeFrame(frame, isFast) {
    const index = frame[0] & 0x3f;
    const isRight = frame[5] === ((crc7(frame.slice(0, 5)) << 1) | 1);
    if (this.mode === 'native') {
      if (index !== 0 || !isRight || this.wake < WAKE || isFast) return;
      this.mode = 'spi';
    } else if (this.idle && isFast) {
      this.counts.tooFast++;
      return;
    } else if ((this.crcOn || index === 8) && !isRight) {
      this.counts.crcErrors++;
      this.respond(CRC_ERROR);
      return;
    }
    this.execute(index, ((frame[1] << 24) | (frame[2] << 16) | (frame[3] << 8) | frame[4]) >>> 0);
  }

  /** R1 after one idle byte, then more bytes; what was being sent waits. */
  respond(r1, ...more) {
    const rest = this.out.slice(this.outAt);
    this.out = [0xff, r1 | (this.idle ? IDLE : 0), ...more, ...rest];
    this.outAt = 0;
  }

  send(data) {
    const bytes = [0xff, 0xff, 0xff, 0xff, 0xfe];
    for (const byte of data) bytes.push(byte);
    bytes.push(...be16(crc16(data)));
    this.out = this.out.slice(this.outAt).concat(bytes);
    this.outAt = 0;
  }

  block(number) {
    return this.image.subarray(number * BLOCK, (number + 1) * BLOCK);
  }

  sendBlock(number) {
    const damage = this.damage.get(number);
    if (number >= this.image.length / BLOCK) {
      this.status |= 0x80;
      this.sending = -1;
      this.push(0xff, 0x08);
    } else if (damage === undefined || damage === 'crc') {
      this.counts.blocksSent++;
      this.send(this.block(number));
      if (damage === 'crc') this.out[this.out.length - 1] ^= 0x01;
    } else {
      this.sending = -1;
      if (damage === 'silence') this.silent = true;
      else if (damage !== 'nothing') this.push(0xff, damage);
    }
  }

  execute(index, argument) {
    if (index === 0) {
      this.count(index, false);
      Object.assign(this, { idle: true, crcOn: false, awaitsApplication: false, starts: 0, sending: -1, intake: null });
      this.flush();
      return this.respond(0);
    }
    if (this.sending >= 0 && index !== 12) return this.illegal();
    const isApplication = this.awaitsApplication && APPLICATION.has(index);
    this.awaitsApplication = false;
    const isEarly = isApplication ? index === 41 : BEFORE_READY.has(index);
    const isOpen = isApplication ? index === 41 || index === 42 : WHILE_LOCKED.has(index);
    if ((this.idle && !isEarly) || (this.locked && !isOpen)) return this.illegal();
    this.count(index, isApplication);
    return isApplication ? this.application(index, argument) : this.plain(index, argument);
  }

  count(index, isApplication) {
    const name = (isApplication ? 'ACMD' : 'CMD') + index;
    this.counts.commands[name] = (this.counts.commands[name] ?? 0) + 1;
  }

  illegal() {
    this.counts.illegal++;
    this.respond(ILLEGAL);
  }

  plain(index, argument) {
    switch (index) {
      case 1: return this.start(argument);
      case 8: return this.respond(0, 0, 0, (argument >> 8) & 0x0f, argument & 0xff);
      case 9: return this.register(this.csd);
      case 10: return this.register(this.cid);
      case 12: return this.stop();
      case 13: return this.respond(0, this.takeStatus());
      case 16: return this.respond(argument === BLOCK ? 0 : PARAMETER_ERROR);
      case 17: case 18: return this.read(index, argument);
      case 55: this.awaitsApplication = true; return this.respond(0);
      case 58: return this.respond(0, this.idle ? 0 : this.isHighCapacity ? 0xc0 : 0x80, 0xff, 0x80, 0x00);
      case 59: return this.crcOnOff(argument);
      default: return this.modify(index, argument);
    }
  }

  application(index, argument) {
    switch (index) {
      case 13: this.respond(0, this.takeStatus()); return this.send(STATUS);
      case 22: return this.register(Buffer.alloc(4));
      case 41: return this.start(argument);
      case 51: return this.register(SCR);
      default: return this.scribble(`ACMD${index} ${argument}`);
    }
  }

  start(argument) {
    this.starts++;
    const isSupported = argument & 0x40000000 || !this.isHighCapacity;
    if (isSupported && this.starts > this.slowStart) this.idle = false;
    this.respond(0);
  }

  register(data) {
    this.respond(0);
    this.send(data);
  }

  takeStatus() {
    const status = this.status | (this.locked ? 0x01 : 0);
    this.status = 0;
    return status;
  }

  crcOnOff(argument) {
    if (this.crc === 'rejects') return this.respond(ILLEGAL);
    if (this.crc === 'honest') this.crcOn = !!(argument & 1);
    return this.respond(0);
  }

  stop() {
    if (this.sending < 0 && this.waiting === 0) return this.respond(ILLEGAL);
    this.sending = -1;
    this.flush();
    this.busy = 5;
    this.respond(0);
    // The stuff byte, which must not be taken for a response.
    this.out.unshift(0x3f);
  }

  /** The block that an argument addresses, or the error bit. */
  addressed(argument) {
    if (!this.isHighCapacity && argument % BLOCK) return { error: ADDRESS_ERROR };
    const block = this.isHighCapacity ? argument : argument / BLOCK;
    return block < this.image.length / BLOCK ? { block } : { error: PARAMETER_ERROR };
  }

  read(index, argument) {
    const { block, error } = this.addressed(argument);
    if (error) return this.respond(error);
    this.flush();
    this.respond(0);
    if (index === 18) this.sending = block;
    else this.sendBlock(block);
  }

  /** Everything that changes content, protection or a register. */
  modify(index, argument) {
    const { block, error } = this.addressed(argument);
    const open = (length, store) => {
      this.intake = { length, store, data: null, isMultiple: index === 25 };
      this.respond(0);
    };
    switch (index) {
      case 24: case 25: {
        if (error) return this.respond(error);
        let next = block;
        return open(BLOCK, (data) => this.block(next++).set(data));
      }
      case 26: return open(16, (data) => (this.cid = data));
      case 27: return open(16, (data) => (this.csd = data));
      case 42: return open(BLOCK, (data) => this.other.push(`lock ${data[0]}`));
      case 49: return open(BLOCK, () => this.other.push(`extension ${argument}`));
      case 56: return argument & 1 ? this.register(Buffer.alloc(BLOCK)) : open(BLOCK, () => this.other.push('general'));
      case 32: this.erase[0] = block ?? -1; return this.respond(error ?? 0);
      case 33: this.erase[1] = block ?? -1; return this.respond(error ?? 0);
      case 38: return this.eraseBlocks();
      case 6: {
        if (argument & 0x80000000) this.scribble(`CMD6 ${argument}`);
        else this.respond(0);
        return this.send(Buffer.alloc(64));
      }
      case 30: case 48: return this.register(Buffer.alloc(index === 30 ? 4 : BLOCK));
      case 4: case 20: case 28: case 29: case 40: case 43: case 44: case 45: case 46: case 47: case 60: case 61: case 62: case 63:
        return this.scribble(`CMD${index} ${argument}`);
      default: return this.illegal();
    }
  }

  eraseBlocks() {
    const [first, last] = this.erase;
    if (first >= 0 && last >= first) this.image.fill(0, first * BLOCK, (last + 1) * BLOCK);
    this.scribble('CMD38');
  }

  /** A command whose effect is not modelled in detail: something has changed. */
  scribble(what) {
    this.counts.changes++;
    this.other.push(what);
    this.respond(0);
  }

  /** Write tokens and what follows them; false for a byte that may begin a command. */
  takeData(heard) {
    const { intake } = this;
    if (!intake) return false;
    if (!intake.data) {
      if (intake.isMultiple && heard === 0xfd) {
        this.intake = null;
        return true;
      }
      if (heard !== 0xfe && heard !== 0xfc) return false;
      this.counts.writeTokens++;
      intake.data = [];
      return true;
    }
    intake.data.push(heard);
    if (intake.data.length < intake.length + 2) return true;
    const data = Buffer.from(intake.data.slice(0, intake.length));
    const isRight = crc16(data) === ((intake.data[intake.length] << 8) | intake.data[intake.length + 1]);
    if (intake.isMultiple) intake.data = null;
    else this.intake = null;
    if (this.crcOn && !isRight) this.push(0x0b);
    else {
      this.counts.changes++;
      intake.store(data);
      this.push(0x05, 0x00, 0x00);
    }
    return true;
  }

  /** SHA-256 over everything that a write can change. */
  digest() {
    const hash = createHash('sha256').update(this.image).update(this.cid).update(this.csd);
    return hash.update(JSON.stringify([this.locked, this.isPasswordSet, this.other])).digest('hex');
  }
}

/** The slot: what is on its wires, with or without a card, and disturbances of them. */
export class Slot {
  constructor() {
    this.card = null;
    this.carried = 0;
    this.flips = new Map();
  }

  /** Connects the slot to SPI0 of a chip that is to be powered up; `clock` schedules bytes where time on the wire counts. */
  attach(board) {
    const { mcu } = board;
    const spi = mcu.spi[0];
    const alarm = board.clock.createAlarm(() => spi.completeTransmit(this.answer));
    mcu.gpio[17].addListener((state) => {
      this.selected = state === 0;
      this.card?.select(this.selected);
    });
    spi.onTransmit = (sent) => {
      this.answer = this.carry(sent, spi.clockFrequency, mcu);
      if (board.timed) alarm.schedule(8e9 / spi.clockFrequency);
      else spi.completeTransmit(this.answer);
    };
  }

  carry(sent, clock, mcu) {
    const flip = this.flips.get(this.carried++) ?? 0;
    // Nothing drives the line: only a pull-up makes it read as ones.
    if (!this.card) return mcu.gpio[16].pullupEnabled ? 0xff : 0x00;
    return this.card.carry(sent ^ flip, clock);
  }

  insert(card) {
    this.card = card;
    card?.select(!!this.selected);
  }
}
