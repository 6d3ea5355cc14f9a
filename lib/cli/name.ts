import * as path from 'node:path';

/** How the command was called, for what it tells about itself: npx would take the name `hax` for another package on npm. */
export function commandName(script = process.argv[1] ?? '', environment = process.env): string {
  if (path.basename(script) !== 'node-hax') return 'hax';
  return environment.npm_command === 'exec' ? 'npx node-hax' : 'node-hax';
}
