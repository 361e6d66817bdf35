// A Raspberry Pi Pico with the release image: processor, flash, strap, lights, and what a probe would see.
import { Elf } from './elf.mjs';
import { Simulator } from './emulator.mjs';
import { Slot } from './card.mjs';
import { BootRom, Registers } from './rom.mjs';
import { UsbHost } from './controller.mjs';

const FLASH = 0x1000_0000;
const FLASH_END = 0x1400_0000;
const RAM = 0x2000_0000;
const VECTORS = 0x1000_0100;
/** Length of a processor cycle at 125 MHz in ns. */
const CYCLE = 8;
/** Instructions between two looks at the clock. */
const BURST = 16;
const PINS = { green: 25, outer: 14, red: 15 };
const STRAP = 2;
const SELECT = 17;
const LEVELS = ['low', 'high'];
/** Changes of the lights that are kept. */
const CHANGES = 4000;

/** Ring oscillator: its random bit is a pseudo-random one, or stuck. */
class Oscillator extends Registers {
  constructor(board) {
    super();
    this.board = board;
    this.state = 0x2545f491;
  }

  readUint32(offset) {
    if (offset !== 0x1c) return super.readUint32(offset);
    if (this.board.isOscillatorStuck) return 1;
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 7) & 1;
  }
}

export class Board {
  constructor(path, { smart = false, timed = false, rom = true } = {}) {
    this.elf = new Elf(path);
    this.isSmart = smart;
    this.timed = timed;
    this.rom = rom ? new BootRom() : null;
    this.flash = new Uint8Array(2 << 20).fill(0xff);
    for (const { address, data } of this.elf.segments()) {
      if (address >= FLASH && address < FLASH_END) this.flash.set(data, address - FLASH);
    }
    this.isOscillatorStuck = false;
    this.slot = new Slot();
    this.powerUps = 0;
    this.watchdogRestarts = 0;
    this.warnings = [];
  }

  /** A new chip with the same flash and the same slot. */
  powerUp() {
    if (this.mcu) this.flash.set(this.mappedFlash.subarray(0, this.flash.length));
    const simulator = new Simulator();
    const mcu = simulator.rp2040;
    Object.assign(this, { mcu, clock: simulator.clock, instructions: 0, restart: null, changes: [], levels: {} });
    const warn = (source, what) => {
      // The program has run into what is none.
      if (source === 'CortexM0Core') throw Error(what);
      if (this.warnings.length < 100) this.warnings.push(`${source} ${what}`);
    };
    mcu.logger = { debug() {}, info() {}, warn, error: warn };
    mcu.flash.set(this.flash);
    this.mappedFlash = mcu.flash;
    mcu.onBreak = (number) => {
      throw Error(`break ${number}`);
    };
    this.rom?.attach(mcu);
    mcu.peripherals[0x40060] = new Oscillator(this);
    const watchdog = mcu.peripherals[0x40058];
    watchdog.onWatchdogTrigger = () => (this.restart = watchdog.reason);
    this.slot.attach(this);
    this.connectPins();
    if (this.usb) this.usb.attach();
    else this.usb = new UsbHost(this);
    this.usb.timed = this.timed;
    const { core } = mcu;
    core.VTOR = VECTORS;
    core.SP = mcu.readUint32(VECTORS);
    core.PC = mcu.readUint32(VECTORS + 4) & ~1;
    this.lowestStack = core.SP;
    this.powerUps += 1;
  }

  connectPins() {
    const strap = this.mcu.gpio[STRAP];
    // To ground, or open: then only the pull-up makes it high.
    Object.defineProperty(strap, 'rawInputValue', { get: () => !this.isSmart && strap.pullupEnabled, set() {} });
    for (const [name, pin] of Object.entries(PINS)) {
      this.levels[name] = 0;
      this.mcu.gpio[pin].addListener((state) => {
        const level = state === 1 ? 1 : 0;
        if (level === this.levels[name]) return;
        this.levels[name] = level;
        if (this.changes.length < CHANGES) this.changes.push([Math.floor(this.us), name, level]);
      });
    }
  }

  get us() {
    return this.clock.nanos / 1000;
  }

  /** Runs for so many microseconds, or until `done`; whether that came. */
  run(us, done) {
    const end = this.clock.nanos + us * 1000;
    for (;;) {
      if (done?.()) return true;
      if (this.clock.nanos >= end) return false;
      this.burst();
      if (this.restart !== null) {
        this.watchdogRestarts += 1;
        this.powerUp();
        return !!done?.();
      }
    }
  }

  burst() {
    const { core } = this.mcu;
    if (core.waiting) {
      this.clock.tick(this.clock.nanosToNextAlarm || 1000);
      return;
    }
    let cycles = 0;
    const registers = core.registers;
    for (let i = 0; i < BURST && !core.waiting; i++) {
      cycles += core.executeInstruction();
      if (registers[13] < this.lowestStack) this.lowestStack = registers[13];
      this.instructions += 1;
    }
    this.clock.tick(cycles * CYCLE);
  }

  word(address) {
    return this.mcu.sramView.getUint32(address - RAM, true);
  }

  /** What a probe reads from the first RTT channel (SEGGER RTT: control block, then per channel name, buffer, size, write, read, flags). */
  takeRtt() {
    const block = this.elf.address('_SEGGER_RTT');
    if (block === undefined || this.word(block) === 0) return Buffer.alloc(0);
    const channel = block + 24;
    const [buffer, size, write] = [4, 8, 12].map((field) => this.word(channel + field));
    let read = this.word(channel + 16);
    const bytes = [];
    while (read !== write) {
      bytes.push(this.mcu.sram[buffer - RAM + read]);
      read = (read + 1) % size;
    }
    this.mcu.sramView.setUint32(channel + 16 - RAM, read, true);
    return Buffer.from(bytes);
  }

  /** Where the program panicked, or null. */
  panic() {
    const place = this.elf.address('5fault5PANIC');
    if (place === undefined || this.word(place) === 0) return null;
    const [address, length, line] = [0, 4, 8].map((field) => this.word(place + field));
    const name = Buffer.from(this.mcu.flash.subarray(address - FLASH, address - FLASH + length)).toString();
    return `${name}:${line}`;
  }

  /** What can be told of the board, for a test to judge. */
  state() {
    return {
      us: Math.floor(this.us),
      instructions: this.instructions,
      attached: this.usb.attached,
      power_ups: this.powerUps,
      watchdog_restarts: this.watchdogRestarts,
      scratch: [...this.mcu.peripherals[0x40058].scratchData],
      lowest_stack: this.lowestStack,
      stack_limit: this.elf.address('_stack_end') ?? RAM,
      stack_top: this.elf.address('_stack_start') ?? RAM,
      sequence_errors: this.usb.sequenceErrors,
      usb_packets: this.usb.packets,
      late_packets: this.usb.latePackets,
      pc: this.mcu.core.PC,
      panic: this.panic(),
      lights: this.levels,
      rom: this.rom && { lookups: [...this.rom.lookups].sort(), writes: this.rom.writes, mistakes: this.rom.mistakes },
      slot: { carried: this.slot.carried, clock: this.mcu.spi[0].clockFrequency, select: LEVELS[this.mcu.gpio[SELECT].value] ?? 'open' },
      card: this.slot.card && { ...this.slot.card.counts, digest: this.slot.card.digest() },
      warnings: this.warnings,
    };
  }
}
