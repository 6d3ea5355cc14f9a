/** Guests of the tests, as the files that `hax run` and launch() take. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { assemble, cacheDirectory, keep, readIfThere } from '../support/assemble';

/** Places of lib/machine/layout.ts, as the documents tell them. */
export const place = {
  com1: 0x3f8,
  debugExit: 0xf4,
  debugConsole: 0xe9,
  keyboardCommand: 0x64,
  pvpanic: 0x505,
  sleepControl: 0x600,
  reset: 0x602,
} as const;

/** SLP_EN and SLP_TYP 5, of `\_S5`. */
export const powerOffValue = 0x20 | (5 << 2);

/** `al` to the UART when it is ready; uses ah and dx. */
const putc = `
putc: mov ah, al
      mov dx, 0x3fd
1:    in al, dx
      test al, 0x20
      jz 1b
      mov al, ah
      mov dx, 0x3f8
      out dx, al
      ret
/* A byte from the UART to al, by polling. */
getc: mov dx, 0x3fd
1:    in al, dx
      test al, 1
      jz 1b
      mov dx, 0x3f8
      in al, dx
      ret
/* The text at (e)si, ended by a zero. */
puts: lodsb
      test al, al
      jz 1f
      call putc
      jmp puts
1:    ret
`;

/** Ends of guests. */
export const ending = {
  halt: 'cli\n hlt',
  powerOff: `mov dx, ${place.sleepControl}\n mov al, ${powerOffValue}\n out dx, al\n cli\n hlt`,
  keyboardReset: `mov al, 0xfe\n out ${place.keyboardCommand}, al\n cli\n hlt`,
  acpiReset: `mov dx, ${place.reset}\n mov al, 1\n out dx, al\n cli\n hlt`,
  panic: `mov dx, ${place.pvpanic}\n mov al, 1\n out dx, al\n cli\n hlt`,
  spin: '9: jmp 9b',
  /** Sleeps with interrupts on: an interrupt could come, so that the machine runs on. */
  idle: '9: sti\n hlt\n jmp 9b',
} as const;

/** Prints a text; `register` is si or esi. Uses the subroutines of {@link program}. */
export function print(text: string, register: 'si' | 'esi' = 'si'): string {
  const bytes = [...Buffer.from(text), 0].join(', ');
  return `lea ${register}, [7f]\n call puts\n jmp 8f\n 7: .byte ${bytes}\n 8:`;
}

/** A program and its subroutines putc, getc and puts. */
export function program(source: string): string {
  return `cld\n${source}\n${putc}`;
}

/** 16-bit code for `--format flat`, loaded and entered at 0x7c00. */
export function flat16(source: string): Uint8Array {
  return assemble(program(source), { bits: 16, origin: 0x7c00 });
}

export function flat32(source: string, origin = 0x100000): Uint8Array {
  return assemble(program(source), { bits: 32, origin });
}

/** A boot sector: the same code with the signature at its end. */
export function bootSector(source: string): Uint8Array {
  const code = flat16(source);
  if (code.length > 510) throw new Error(`a boot sector has room for 510 bytes, not ${code.length}`);
  const sector = Buffer.alloc(512);
  sector.set(code);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** Prints what is typed in hexadecimal; q powers off, p panics, r resets. */
export function hexEchoSector(): Uint8Array {
  return bootSector(`${print('ready\r\n')}
    next: call getc
    cmp al, 'q'\n je off
    cmp al, 'p'\n je panic
    cmp al, 'r'\n je reset
    mov bl, al
    mov al, '<'\n call putc
    mov al, bl\n shr al, 4\n call digit
    mov al, bl\n and al, 15\n call digit
    mov al, '>'\n call putc
    jmp next
    digit: add al, 48\n cmp al, 58\n jb 1f\n add al, 39\n 1: jmp putc
    off: ${ending.powerOff}
    panic: ${ending.panic}
    reset: ${ending.acpiReset}`);
}

/** A 32-bit executable as binutils makes it, entered at `start`; `options` of ld, in place of those that leave its headers out. */
export function elf32(source: string, origin = 0x100000, options: readonly string[] = codeAlone): Uint8Array {
  const text = `.intel_syntax noprefix\n.code32\n.globl start\n${source}\n`;
  const key = createHash('sha256')
    .update(`${options.join(' ')} ${origin}\n${text}`)
    .digest('hex')
    .slice(0, 32);
  const file = path.join(cacheDirectory, `${key}.elf`);
  return readIfThere(file) ?? keep(file, link(text, origin, options));
}

/** -N: the segment holds the code alone, not the file's headers, which would lie below 1 MiB. */
const codeAlone = ['-N', '--no-warn-rwx-segments'];

function link(text: string, origin: number, options: readonly string[]): Buffer {
  const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-ld-'));
  try {
    const [object, linked] = ['guest.o', 'guest.elf'].map((name) => path.join(directory, name)) as [string, string];
    execFileSync('as', ['--32', '-mx86-used-note=no', '-o', object, '-'], { input: text });
    execFileSync('ld', ['-m', 'elf_i386', '-e', 'start', ...options, `-Ttext=0x${origin.toString(16)}`, '-o', linked, object]);
    return readFileSync(linked);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** As {@link elf32}, with a program's subroutines. */
export function elfProgram(source: string, options?: readonly string[]): Uint8Array {
  return elf32(`start: ${program(source)}`, undefined, options);
}

/** An ELF file with a multiboot 1 header that asks for the memory map; entered with a stack. */
export function multibootKernel(source: string): Uint8Array {
  return elf32(
    `.long 0x1badb002, 3, -(0x1badb002 + 3)\nstart: lea esp, [stack_end]\n${program(source)}\n.bss\n.balign 16\n.skip 4096\nstack_end:`,
  );
}

/** A directory for the files of one test file; removed by remove(). */
export class Files {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'node-hax-guest-'));

  at(name: string): string {
    return path.join(this.directory, name);
  }

  write(name: string, bytes: Uint8Array | string): string {
    writeFileSync(this.at(name), bytes);
    return this.at(name);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
