# A multiboot kernel with one driver: it reads four bytes from a sensor and prints what it got on the debug console (port 0xe9).
#
# The sensor has two registers of one byte: at 0x300 a command (1: measure) and status (bit 0: busy, bit 7: error), at 0x301 the data.
# Build: as --32 -o kernel.o kernel.s && ld -m elf_i386 -N -Ttext 0x100000 -o kernel kernel.o
.intel_syntax noprefix
.globl _start
.long 0x1badb002, 3, -(0x1badb002 + 3)          # multiboot 1: pages aligned, memory map wanted

_start:
    mov esp, offset stack_end
    mov ebx, 4
next:
    call measure
    jc failed
    add al, 0x30
    out 0xe9, al
    dec ebx
    jnz next
    mov al, 0
    jmp leave
failed:
    mov al, 1
leave:
    out 0xf4, al                                # the debug exit: ends the machine
    cli
    hlt

# al = a value; carry: the sensor reports an error, or stays busy for too long
measure:
    mov dx, 0x300
    mov al, 1
    out dx, al
    mov ecx, 1000
wait:
    in al, dx
    test al, 0x80
    jnz bad
    test al, 1
    jz ready
    dec ecx
    jnz wait
bad:
    stc
    ret
ready:
    inc dx
    in al, dx
    clc
    ret

.bss
.skip 4096
stack_end:
