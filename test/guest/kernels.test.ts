/**
 * Test kernels in the manner of kvm-unit-tests and of those that people write for QEMU: multiboot 1, results on COM1, the end by a write to
 * port 0xf4. One stays in protected mode; one, linked at 16 KiB, goes on to real mode. And one that Debian has packaged.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { launch } from 'node-hax';
import { cacheDirectory } from '../support/assemble';
import { hax } from '../support/command';
import { describeKvm, itIf } from '../support/hosts';
import { elf32, Files } from './images';

const files = new Files();
afterAll(() => files.remove());

/** A case jumps to 99f when it fails. */
type Cases = Record<string, string>;

/** The item of fw_cfg has these bytes. */
const fwCfg = (item: number, bytes: readonly number[]): string =>
  [`mov dx, 0x510\n mov ax, ${item}\n out dx, ax\n inc dx`, ...bytes.map((byte) => `in al, dx\n cmp al, ${byte}\n jne 99f`)].join('\n');

/** What the processor's modes have in common; `a` is ax or eax, and so on. */
const common = ({
  a,
  b,
  c,
  d,
  si,
  di,
  sp,
  word,
  size,
}: Record<'a' | 'b' | 'c' | 'd' | 'si' | 'di' | 'sp' | 'word', string> & { size: number }): Cases => ({
  'add and adc': `mov ${a}, -1\n add ${a}, 1\n jnc 99f\n mov ${b}, 5\n adc ${b}, 7\n cmp ${b}, 13\n jne 99f`,
  'adc without a carry': `clc\n mov ${b}, 5\n adc ${b}, 7\n cmp ${b}, 12\n jne 99f`,
  'sub, sbb, neg': `mov ${a}, 3\n sub ${a}, 5\n jnc 99f\n sbb ${a}, 0\n neg ${a}\n cmp ${a}, 3\n jne 99f`,
  'mul and div': `mov ${a}, 1234\n mov ${b}, 567\n mul ${b}\n mov ${c}, 1234\n div ${c}\n cmp ${a}, 567\n jne 99f\n test ${d}, ${d}\n jne 99f`,
  'imul and idiv': `mov ${a}, -700\n cwd\n ${size === 4 ? 'cdq' : ''}\n mov ${b}, 9\n idiv ${b}\n cmp ${a}, -77\n jne 99f\n cmp ${d}, -7\n jne 99f\n imul ${a}, ${b}, 10\n cmp ${a}, 90\n jne 99f`,
  shifts: `mov ${a}, 0x1234\n shl ${a}, 3\n cmp ${a}, 0x91a0\n jne 99f\n shr ${a}, 5\n cmp ${a}, 0x48d\n jne 99f\n mov ${b}, -8\n sar ${b}, 1\n cmp ${b}, -4\n jne 99f`,
  rotates: `mov al, 0x81\n rol al, 1\n cmp al, 3\n jne 99f\n ror al, 2\n cmp al, 0xc0\n jne 99f\n stc\n rcl al, 1\n cmp al, 0x81\n jne 99f`,
  'double shifts': `mov ${a}, 0x1234\n mov ${b}, -1\n shld ${a}, ${b}, 4\n and ${a}, 0xffff\n cmp ${a}, 0x234f\n jne 99f`,
  logic: `mov al, 0x5a\n xor al, 0xff\n cmp al, 0xa5\n jne 99f\n and al, 0xf0\n or al, 5\n not al\n cmp al, 0x5a\n jne 99f`,
  bits: `mov ${a}, 0x10\n bt ${a}, 4\n jnc 99f\n bts ${a}, 1\n btr ${a}, 4\n btc ${a}, 0\n cmp ${a}, 3\n jne 99f\n bsf ${b}, ${a}\n jz 99f\n cmp ${b}, 0\n jne 99f\n bsr ${b}, ${a}\n cmp ${b}, 1\n jne 99f`,
  'sign and zero extension': `mov al, 0x80\n movsx ${b}, al\n cmp ${b}, -128\n jne 99f\n movzx ${c}, al\n cmp ${c}, 128\n jne 99f`,
  setcc: `cmp ${a}, ${a}\n sete bl\n setne bh\n cmp bx, 1\n jne 99f`,
  'push and pop': `mov ${b}, ${sp}\n push 0x1234\n pop ${a}\n cmp ${a}, 0x1234\n jne 99f\n cmp ${b}, ${sp}\n jne 99f`,
  'pusha and popa': `mov ${a}, 1\n mov ${d}, 2\n mov ${di}, 3\n ${size === 4 ? 'pushad' : 'pusha'}\n xor ${a}, ${a}\n xor ${d}, ${d}\n xor ${di}, ${di}\n ${size === 4 ? 'popad' : 'popa'}\n add ${a}, ${d}\n add ${a}, ${di}\n cmp ${a}, 6\n jne 99f`,
  'call and ret n': `mov ${b}, ${sp}\n push 7\n call 1f\n jmp 2f\n 1: ret ${size}\n 2: cmp ${b}, ${sp}\n jne 99f`,
  'enter and leave': `mov ${c}, ${sp}\n enter 16, 0\n mov ${b}, ${c}\n sub ${b}, ${sp}\n cmp ${b}, ${16 + size}\n jne 99f\n leave\n cmp ${c}, ${sp}\n jne 99f`,
  'flags by pushf and popf': `stc\n pushf\n clc\n popf\n jnc 99f\n lahf\n test ah, 1\n jz 99f\n xor ah, ah\n sahf\n jc 99f`,
  loop: `mov ${c}, 10\n xor ${a}, ${a}\n 1: inc ${a}\n loop 1b\n cmp ${a}, 10\n jne 99f`,
  'rep movs, stos, cmps and scas': `lea ${di}, [scratch]\n mov ${c}, 64\n mov al, 0x5a\n rep stosb\n lea ${si}, [scratch]\n lea ${di}, [scratch + 64]\n mov ${c}, 64\n rep movsb
    lea ${si}, [scratch]\n lea ${di}, [scratch + 64]\n mov ${c}, 64\n repe cmpsb\n jne 99f\n mov byte ptr [scratch + 70], 1\n lea ${di}, [scratch + 64]\n mov ${c}, 64\n mov al, 1\n repne scasb\n jne 99f\n cmp ${c}, 57\n jne 99f`,
  'string instructions downwards': `std\n lea ${si}, [scratch + 1]\n mov byte ptr [scratch], 1\n mov byte ptr [scratch + 1], 2\n lodsb\n mov ah, al\n lodsb\n cld\n cmp ax, 0x201\n jne 99f`,
  'xchg, xadd, cmpxchg': `mov ${a}, 1\n mov ${b}, 2\n xchg ${a}, ${b}\n xadd ${a}, ${b}\n cmp ${a}, 3\n jne 99f\n mov ${word} ptr [scratch], ${a}\n mov ${c}, 9\n lock cmpxchg [scratch], ${c}\n jne 99f\n cmp ${word} ptr [scratch], 9\n jne 99f`,
  xlat: `lea ${b}, [scratch]\n mov byte ptr [scratch + 3], 0x77\n mov al, 3\n xlatb\n cmp al, 0x77\n jne 99f`,
  'aam and aad': 'mov ax, 123\n aam\n cmp ax, 0x0c03\n jne 99f\n aad\n cmp al, 123\n jne 99f',
  cpuid: `xor eax, eax\n cpuid\n test eax, eax\n jz 99f\n mov eax, 1\n cpuid\n test edx, 1 << 4\n jz 99f`,
  'the time-stamp counter rises': 'rdtsc\n mov esi, eax\n rdtsc\n cmp eax, esi\n je 99f',
  'the UART keeps its scratch register, in every width': `mov dx, 0x3ff\n mov al, 0xa5\n out dx, al\n xor al, al\n in al, dx\n cmp al, 0xa5\n jne 99f\n mov dx, 0x3fe\n in ax, dx\n cmp ah, 0xa5\n jne 99f`,
  'the test data port keeps what is written, in every width':
    'mov dx, 0xe0\n mov eax, 0x12345678\n out dx, eax\n inc dx\n mov al, 0xaa\n out dx, al\n dec dx\n xor eax, eax\n in eax, dx\n cmp eax, 0x1234aa78\n jne 99f\n mov dx, 0xe2\n in ax, dx\n cmp ax, 0x1234\n jne 99f',
  'fw_cfg tells the number of vCPUs': fwCfg(5, [1, 0]),
  'fw_cfg tells the size of memory': fwCfg(3, [0, 0, 0, 4, 0, 0, 0, 0]),
  'nobody answers at an empty port': 'mov dx, 0x999\n mov al, 7\n out dx, al\n in al, dx\n cmp al, 0xff\n jne 99f',
});

const protectedCases: Cases = {
  'multiboot magic': 'cmp dword ptr [magic], 0x2badb002\n jne 99f',
  'paging is off, protection on': 'mov eax, cr0\n and eax, 0x80000001\n cmp eax, 1\n jne 99f',
  'interrupts are off': 'pushfd\n pop eax\n test eax, 0x200\n jnz 99f',
  'A20 is on': 'mov dword ptr [0x4fc], 1\n mov dword ptr [0x1004fc], 2\n cmp dword ptr [0x4fc], 1\n jne 99f',
  'the command line is passed on':
    'mov ebx, [information]\n test dword ptr [ebx], 4\n jz 99f\n mov esi, [ebx + 16]\n 1: lodsb\n test al, al\n jz 99f\n cmp dword ptr [esi], 0x74736574\n jne 1b',
  'the memory map tells all memory': `mov ebx, [information]\n test dword ptr [ebx], 0x40\n jz 99f\n mov ecx, [ebx + 44]\n mov esi, [ebx + 48]\n add ecx, esi\n xor edx, edx
    1: cmp dword ptr [esi + 20], 1\n jne 2f\n add edx, [esi + 12]\n 2: add esi, [esi]\n add esi, 4\n cmp esi, ecx\n jb 1b\n shr edx, 20\n cmp edx, 63\n jne 99f`,
  'memory sizes':
    'mov ebx, [information]\n test dword ptr [ebx], 1\n jz 99f\n cmp dword ptr [ebx + 4], 600\n jb 99f\n cmp dword ptr [ebx + 8], 63 * 1024\n jne 99f',
  'a GDT and segments of its own':
    'lgdt [own_gdt]\n ljmp 0x20, offset 1f\n 1: mov ax, 0x28\n mov ds, ax\n mov es, ax\n mov ss, ax\n mov bx, cs\n cmp bx, 0x20\n jne 99f\n mov ebx, [scratch]\n mov ax, ds\n cmp ax, 0x28\n jne 99f',
  'far call and far return': 'push cs\n call 1f\n jmp 2f\n 1: retf\n 2:',
  'memory beyond the first megabytes':
    'mov edi, 0x2000000\n mov ecx, 1024\n mov eax, 0x12345678\n rep stosd\n cmp dword ptr [0x2000ffc], eax\n jne 99f',
  'test memory keeps what is written, in every width': `mov edi, 0xff000000\n mov dword ptr [edi], 0x11223344\n mov byte ptr [edi + 1], 0xaa\n cmp dword ptr [edi], 0x1122aa44\n jne 99f
    mov word ptr [edi + 0xfffe], 0x5566\n cmp word ptr [edi + 0xfffe], 0x5566\n jne 99f\n cmp dword ptr [edi + 0x10000], -1\n jne 99f
    add dword ptr [edi], 0x100\n cmp dword ptr [edi], 0x1122ab44\n jne 99f\n cmp dword ptr [edi + 4], 0\n jne 99f`,
  MSRs: 'mov ecx, 0x1b\n rdmsr\n test eax, 1 << 8\n jz 99f\n and eax, 0xfffff000\n cmp eax, 0xfee00000\n jne 99f',
};

const realCases: Cases = {
  'protection is off': 'smsw ax\n test al, 1\n jnz 99f',
  'segment overrides':
    'mov ax, 0x2000\n mov fs, ax\n mov word ptr fs:[0x10], 0x4321\n mov ax, 0x2001\n mov gs, ax\n cmp word ptr gs:[0], 0x4321\n jne 99f',
  'lds and les':
    'mov word ptr [scratch], 0x11\n mov word ptr [scratch + 2], 0x2000\n les di, [scratch]\n cmp di, 0x11\n jne 99f\n mov ax, es\n cmp ax, 0x2000\n jne 99f\n push 0\n pop es',
  'far call and far return':
    'mov word ptr [scratch], offset 1f\n mov word ptr [scratch + 2], 0\n call dword ptr [scratch]\n jmp 2f\n 1: retf\n 2:',
  'far jump to another segment':
    'mov word ptr [scratch], offset 1f - 0x1000\n mov word ptr [scratch + 2], 0x100\n jmp dword ptr [scratch]\n 1: mov ax, cs\n ljmp 0, offset 2f\n 2: cmp ax, 0x100\n jne 99f',
  'int and iret':
    'mov word ptr [0x60 * 4], offset 1f\n mov word ptr [0x60 * 4 + 2], 0\n xor ax, ax\n stc\n int 0x60\n jmp 2f\n 1: mov ax, 0x1234\n iret\n 2: jnc 99f\n cmp ax, 0x1234\n jne 99f',
  'a divide error goes to vector 0':
    'mov word ptr [0], offset 1f\n mov word ptr [2], 0\n mov [scratch], sp\n xor bx, bx\n div bx\n jmp 99f\n 1: mov sp, [scratch]',
  'an invalid instruction goes to vector 6':
    'mov word ptr [6 * 4], offset 1f\n mov word ptr [6 * 4 + 2], 0\n mov [scratch], sp\n ud2\n jmp 99f\n 1: mov sp, [scratch]',
  'operands and addresses of 32 bits':
    'mov eax, 0x12345678\n mov ebx, offset scratch\n mov [ebx + 4], eax\n ror eax, 16\n cmp ax, 0x1234\n jne 99f\n cmp dword ptr [scratch + 4], 0x12345678\n jne 99f',
  'rep outs and ins at the UART':
    'mov byte ptr [scratch], 0x11\n mov byte ptr [scratch + 1], 0x22\n lea si, [scratch]\n mov cx, 2\n mov dx, 0x3ff\n rep outsb\n lea di, [scratch + 8]\n mov cx, 2\n rep insb\n cmp word ptr [scratch + 8], 0x2222\n jne 99f',
  'an interrupt of the timer wakes it from hlt': `cli\n mov word ptr [8 * 4], offset 1f\n mov word ptr [8 * 4 + 2], 0
    mov al, 0x11\n out 0x20, al\n mov al, 8\n out 0x21, al\n mov al, 4\n out 0x21, al\n mov al, 1\n out 0x21, al\n mov al, 0xfe\n out 0x21, al
    mov al, 0x30\n out 0x43, al\n mov al, 0\n out 0x40, al\n mov al, 0x10\n out 0x40, al\n xor bx, bx\n sti\n hlt\n cli\n jmp 2f
    1: inc bx\n mov al, 0x20\n out 0x20, al\n iret\n 2: cmp bx, 1\n jne 99f`,
  'a test interrupt stays pending until sti, and wakes it from hlt': `cli\n mov word ptr [11 * 4], offset 1f\n mov word ptr [11 * 4 + 2], 0
    mov al, 0x11\n out 0x20, al\n mov al, 8\n out 0x21, al\n mov al, 4\n out 0x21, al\n mov al, 1\n out 0x21, al\n mov al, 0xf7\n out 0x21, al
    mov dx, 0x2003\n mov eax, 1\n out dx, eax\n dec eax\n out dx, eax\n xor bx, bx\n sti\n hlt\n cli\n jmp 2f
    1: inc bx\n mov al, 0x20\n out 0x20, al\n iret\n 2: cmp bx, 1\n jne 99f`,
};

/** The cases one after the other, each with its line; then the number of failures to port 0xf4. */
function suite(cases: Cases, si: 'si' | 'esi'): string {
  const each = Object.entries(cases).map(
    ([, code], i) =>
      `${code}\n jmp 98f\n 99: lea ${si}, [name${i}]\n call failed\n jmp 97f\n 98: lea ${si}, [name${i}]\n call passed\n 97:`,
  );
  return `${each.join('\n')}
    mov al, [failures]\n out 0xf4, al\n 1: hlt\n jmp 1b
    passed: push ${si}\n lea ${si}, [pass]\n call puts\n pop ${si}\n jmp line
    failed: inc byte ptr [failures]\n push ${si}\n lea ${si}, [fail]\n call puts\n pop ${si}
    line: call puts\n lea ${si}, [newline]\n
    puts: cld\n lodsb\n test al, al\n jz 2f\n mov ah, al\n mov dx, 0x3fd\n 1: in al, dx\n test al, 0x20\n jz 1b\n mov al, ah\n mov dx, 0x3f8\n out dx, al\n jmp puts\n 2: ret
    ${Object.keys(cases)
      .map((name, i) => `name${i}: .asciz "${name}"`)
      .join('\n')}`;
}

const data = `pass: .asciz "PASS: "\n fail: .asciz "FAIL: "\n newline: .asciz "\\r\\n"\n failures: .byte 0\n .balign 16\n scratch: .skip 256\n stack: .skip 2048\n stack_end:
  .balign 8\n gdt: .quad 0, 0, 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00009b000000ffff, 0x000093000000ffff
  own_gdt: .word 63\n .long gdt
  magic: .long 0\n information: .long 0`;
const header = '.long 0x1badb002, 3, -(0x1badb002 + 3)\nstart: mov [magic], eax\n mov [information], ebx\n lea esp, [stack_end]';

const all = {
  protected: {
    ...common({ a: 'eax', b: 'ebx', c: 'ecx', d: 'edx', si: 'esi', di: 'edi', sp: 'esp', word: 'dword', size: 4 }),
    ...protectedCases,
  },
  real: { ...common({ a: 'ax', b: 'bx', c: 'cx', d: 'dx', si: 'si', di: 'di', sp: 'sp', word: 'word', size: 2 }), ...realCases },
};
const kernels = {
  protected: (cases: Cases) => elf32(`${header}\n${suite(cases, 'esi')}\n${data}`),
  /** By a 16-bit code segment and CR0.PE = 0, as Intel SDM vol. 3, 9.9.2 has it, but with the interrupt table that it was started with. */
  real: (cases: Cases) =>
    elf32(
      `${header}\n lgdt [own_gdt]\n ljmp 0x30, offset 1f\n .code16\n 1: mov ax, 0x38\n mov ds, ax\n mov es, ax\n mov ss, ax
       mov eax, cr0\n and al, 0xfe\n mov cr0, eax\n ljmp 0, offset 2f\n 2: xor ax, ax\n mov ds, ax\n mov es, ax\n mov ss, ax\n mov sp, offset stack_end
       ${suite(cases, 'si')}\n${data}`,
      0x4000,
    ),
};

describeKvm('a multiboot test kernel with COM1 and port 0xf4', () => {
  it.each(['protected', 'real'] as const)('in %s mode: all its cases pass', async (mode) => {
    const kernel = files.write(mode, kernels[mode](all[mode]));
    const { status, stdout, stderr } = await hax(['run', '--debug-exit', '--memory', '64M', '--append', 'test', kernel, '--timeout', '30']);
    const lines = stdout.toString().split('\r\n');
    expect(lines.filter((line) => !line.startsWith('PASS: '))).toEqual(['']);
    expect(lines.slice(0, -1)).toEqual(Object.keys(all[mode]).map((name) => `PASS: ${name}`));
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
  });

  it.each(['protected', 'real'] as const)('in %s mode: failures are counted in the status', async (mode) => {
    const kernel = files.write(`${mode}-failing`, kernels[mode]({ good: 'nop', bad: 'jmp 99f', worse: 'jmp 99f' }));
    const { status, stdout } = await hax(['run', '--debug-exit', kernel]);
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 5, stdout: 'PASS: good\r\nFAIL: bad\r\nFAIL: worse\r\n' });
  });
});

/** Debian's package grub-invaders, fetched once without being installed; or why it is not there. */
function invaders(): { kernel?: string; reason: string } {
  const kernel = path.join(cacheDirectory, 'invaders.exec');
  if (existsSync(kernel)) return { kernel, reason: '' };
  const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-invaders-'));
  try {
    const quiet = { cwd: directory, stdio: 'ignore', timeout: 200_000 } as const;
    execFileSync('apt-get', ['download', 'grub-invaders'], quiet);
    execFileSync('dpkg', ['-x', readdirSync(directory)[0], 'unpacked'], quiet);
    mkdirSync(cacheDirectory, { recursive: true });
    const partial = `${kernel}.${process.pid}`;
    execFileSync('cp', ['unpacked/boot/invaders.exec', partial], quiet);
    renameSync(partial, kernel);
    return { kernel, reason: '' };
  } catch {
    return { reason: 'the Debian package grub-invaders cannot be fetched' };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describeKvm('grub-invaders', () => {
  const { kernel = '', reason } = invaders();

  itIf(kernel !== '', reason, 'runs until the time is out, without an error', async () => {
    const { status, stdout, stderr } = await hax(['run', kernel, '--timeout', '2']);
    expect({ status, stdout: stdout.toString(), stderr }).toEqual({
      status: 124,
      stdout: '',
      stderr: 'hax: the guest did not end within 2 s (--timeout)\n',
    });
  });

  itIf(kernel !== '', reason, 'shows invaders that move', async () => {
    const machine = await launch({ kernel, memory: '16M' });
    try {
      const screen = (): string => {
        const cells = machine.vm.memory.read(0xb8000, 80 * 25 * 2);
        return Buffer.from(cells.filter((_, i) => i % 2 === 0)).toString('latin1');
      };
      const until = async (reached: () => boolean): Promise<void> => {
        while (!reached()) await sleep(20);
      };
      await until(() => screen().includes('-*-'));
      const first = screen();
      await until(() => screen().includes('-*-') && screen() !== first);
      expect(machine.state).toBe('running');
    } finally {
      await machine.close();
    }
  });
});
