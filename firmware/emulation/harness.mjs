// Runs the Pico's release image and does what it is told: one JSON object a line on stdin, one answer a line on stdout.
//
//   node harness.mjs IMAGE.elf
//
// Time stands still between two commands, so that a run is the same every time. Bytes are hexadecimal. See README.md for the commands.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Board } from './board.mjs';
import { Card } from './card.mjs';

/** Time for which a bulk transfer is tried before it counts as not ready. */
const PATIENCE_US = 5_000;
const BOOT_US = 1_500_000;
const FLASH = 0x1000_0000;

const bytes = (hex) => Uint8Array.from(Buffer.from(hex ?? '', 'hex'));
const hex = (data) => Buffer.from(data).toString('hex');
const [path] = process.argv.slice(2);
let board = null;

const commands = {
  /** Power-up with an empty flash besides the image. */
  boot({ smart, timed, rom, flash = {} }) {
    board = new Board(path, { smart, timed, rom });
    for (const [address, data] of Object.entries(flash)) board.flash.set(bytes(data), Number(address) - FLASH);
    board.powerUp();
    return commands.wait_attached({});
  },

  /** Waits until the board is on the bus. */
  wait_attached({ us = BOOT_US }) {
    const attached = board.run(us, () => board.usb.attached);
    return { attached, us: Math.floor(board.us), instructions: board.instructions };
  },

  /** The supply off and on again; the flash stays as it is. */
  power_cycle({ smart }) {
    if (smart !== undefined) board.isSmart = smart;
    board.powerUp();
    board.slot.card?.powerUp();
    return commands.wait_attached({});
  },

  run({ us }) {
    board.run(us);
    return {};
  },

  reset() {
    return { answered: board.usb.reset() };
  },

  control({ setup, data, given_up }) {
    const answer = board.usb.request(bytes(setup), bytes(data), given_up);
    return typeof answer === 'string' ? { end: answer } : { end: 'ack', data: hex(answer) };
  },

  out({ endpoint, data, us = PATIENCE_US }) {
    return board.usb.bulkOut(endpoint, bytes(data), us);
  },

  in({ endpoint, max, us = PATIENCE_US }) {
    const { packets, end } = board.usb.bulkIn(endpoint, max, us);
    return { packets: packets.length, data: hex(Buffer.concat(packets)), end };
  },

  /** Puts a card with the content of a file into the slot, or takes the card out. */
  card({ image, ...options }) {
    board.slot.insert(image ? new Card({ image: Uint8Array.from(readFileSync(image)), ...options }) : null);
    return {};
  },

  /** Bits that change on their way to the card: by the number of the byte from now on, the mask. */
  flips({ masks = {} }) {
    const { slot } = board;
    slot.flips = new Map(Object.entries(masks).map(([at, mask]) => [slot.carried + Number(at), mask]));
    return { carried: slot.carried };
  },

  /** Whether the controller keeps it to itself that an IN packet has left. */
  deaf({ on }) {
    board.usb.isDeaf = on;
    return {};
  },

  oscillator({ stuck }) {
    board.isOscillatorStuck = stuck;
    return {};
  },

  flash({ address, length, data }) {
    const at = address - FLASH;
    if (data !== undefined) board.mappedFlash.set(bytes(data), at);
    return { data: hex(board.mappedFlash.subarray(at, at + (length ?? 0))) };
  },

  /** Symbols of the image whose name contains a text, with their values. */
  symbols({ contains }) {
    return { symbols: Object.fromEntries([...board.elf.symbols].filter(([name]) => name.includes(contains))) };
  },

  /** What a probe reads: the bytes of the log since the last call. */
  rtt() {
    return { data: hex(board.takeRtt()) };
  },

  /** Changes of the lights since the last call: time in microseconds, light, level. */
  lights() {
    return { changes: board.changes.splice(0) };
  },

  state() {
    return board.state();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  let answer;
  try {
    const { do: name, ...parameters } = JSON.parse(line);
    if (!Object.hasOwn(commands, name)) throw Error(`no command ${name}`);
    answer = commands[name](parameters);
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
