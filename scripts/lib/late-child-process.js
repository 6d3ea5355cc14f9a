'use strict';

// Stands for node:child_process in the command's bundle. commander asks for it at once and uses it only for subcommands that are files of
// their own, which hax has not; loading it, and the sockets that it brings, takes longer than all of our code.
module.exports = {
  get spawn() {
    return require('child_process').spawn;
  },
};
