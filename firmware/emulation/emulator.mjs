// The emulator package, wherever prepare.sh put it.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.env.DALEEL_EMULATION ?? join(here, '..', '..', 'target', 'emulation');

export const { RP2040, Simulator } = createRequire(join(folder, 'package.json'))('rp2040js');
