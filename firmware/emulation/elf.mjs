// What a 32-bit little-endian ELF file says: what to load where, and where symbols are (System V ABI, chapters 4 and 5).
import { readFileSync } from 'node:fs';

const LOAD = 1;
const SYMBOLS = 2;

export class Elf {
  constructor(path) {
    this.bytes = readFileSync(path);
    if (this.bytes.toString('latin1', 0, 4) !== '\x7fELF') throw Error(`${path} is no ELF file`);
    this.symbols = this.#symbols();
  }

  /** Loadable pieces: physical address and bytes. */
  *segments() {
    const b = this.bytes;
    const table = b.readUInt32LE(28);
    for (let i = 0; i < b.readUInt16LE(44); i++) {
      const at = table + i * b.readUInt16LE(42);
      const [kind, offset, , address, size] = [0, 4, 8, 12, 16].map((field) => b.readUInt32LE(at + field));
      if (kind === LOAD && size > 0) yield { address, data: b.subarray(offset, offset + size) };
    }
  }

  #symbols() {
    const b = this.bytes;
    const found = new Map();
    const section = (i) => {
      const at = b.readUInt32LE(32) + i * b.readUInt16LE(46);
      return { kind: b.readUInt32LE(at + 4), offset: b.readUInt32LE(at + 16), size: b.readUInt32LE(at + 20), link: b.readUInt32LE(at + 24) };
    };
    for (let i = 0; i < b.readUInt16LE(48); i++) {
      const { kind, offset, size, link } = section(i);
      if (kind !== SYMBOLS) continue;
      const names = section(link).offset;
      for (let at = offset; at < offset + size; at += 16) {
        const start = names + b.readUInt32LE(at);
        const name = b.toString('latin1', start, b.indexOf(0, start));
        if (name) found.set(name, b.readUInt32LE(at + 4));
      }
    }
    return found;
  }

  /** Address of a symbol, or of the first one whose name contains a mangled part. */
  address(name) {
    const exact = this.symbols.get(name);
    if (exact !== undefined) return exact;
    for (const [symbol, address] of this.symbols) if (symbol.includes(name)) return address;
    return undefined;
  }
}
