// The command itself; scripts/build makes one script of this and all that it uses, which main.ts starts.
import { main } from './program';
import { exit } from './streams';

// Standard input or a socket must not keep the process.
void main(process.argv.slice(2)).then(exit);
