/* The parts of client.c in which guests run. */

static void ports(void) {
  struct machine m;
  /* std; rep outsw of 40 words down from 4100; cld; rep insd of 20 to 5000; insb without rep; in eax,dx */
  START(&m, "\xfd\xba\x00\x01\xbe\x00\x41\xb9\x28\x00\xf3\x6f\xfc\xbf\x00\x50\xb9\x14\x00\xf3\x66\x6d\x6c\x66\xed\xf4");
  for (int i = 0; i < 0x200; i++) m.ram[0x4000 + i] = (uint8_t)(i / 2);
  real_mode(&m, 0x1000);
  IS("a string down", status_of(&m), HAX_EXIT_IO);
  IS("32 words fit", m.tunnel->io._count, 32);
  IS("df", m.tunnel->io._df, 1);
  IS("vaddr is the lowest address", m.tunnel->io._vaddr, 0x4100 - 31 * 2);
  IS("the buffer ascends", memcmp(m.io, m.ram + 0x4100 - 62, 64), 0);
  IS("CX counts down", REG(&m, rcx), 8);
  IS("SI too", REG(&m, rsi), 0x4100 - 64);
  IS("RIP stays", REG(&m, rip), 0x100a);
  IS("the rest", status_of(&m), HAX_EXIT_IO);
  IS("of 8 words", m.tunnel->io._count, 8);
  IS("RIP is past it", REG(&m, rip), 0x100c);
  for (int piece = 0; piece < 2; piece++) {
    IS("rep insd", status_of(&m), HAX_EXIT_IO);
    IS("in pieces of 16", m.tunnel->io._count, piece ? 4 : 16);
    for (int i = 0; i < 64; i++) m.io[i] = (uint8_t)(i + piece * 64 + 1);
    IS("memory waits for the next RUN", m.ram[0x5000 + piece * 64], 0);
  }
  IS("DI is past it", REG(&m, rdi), 0x5050);
  IS("insb alone", status_of(&m), HAX_EXIT_IO);
  IS("is a string of one", m.tunnel->io._count * 10 + m.tunnel->io._flags, 11);
  IS("all arrived", m.ram[0x5000] == 1 && m.ram[0x504f] == 80 && m.ram[0x5050] == 0, 1);
  m.io[0] = 0x99;
  IS("in eax,dx", status_of(&m), HAX_EXIT_IO);
  IS("the byte arrived", m.ram[0x5050], 0x99);
  struct vcpu_state_t state;
  get_regs(&m, &state);
  state._rax = 0xffffffff55667788;
  state._rbx = 0x1234;
  set_regs(&m, &state);
  memcpy(m.io, "\x01\x02\x03\x04", 4);
  IS("halts", status_of(&m), HAX_EXIT_HLT);
  IS("IN ends over what SET_REGS set, upper half kept", REG(&m, rax), 0xffffffff04030201);
  IS("and leaves the others", REG(&m, rbx), 0x1234);
  finish(&m);
}

static void mmio(void) {
  struct machine m;
  /* ds=a000; push ds; pop es; or word [10],8000; mov [20],bx; stosw; xchg [30],al */
  START(&m, "\xb8\x00\xa0\x8e\xd8\x8e\xc0\x81\x0e\x10\x00\x00\x80\x89\x1e\x20\x00\xab\x86\x06\x30\x00\xf4");
  real_mode(&m, 0x1000);
  struct vcpu_state_t state;
  get_regs(&m, &state);
  state._rbx = 0xbeef;
  state._rdi = 0x100;
  set_regs(&m, &state);
  IS("a read", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("of two bytes", record(&m).size * 10 + record(&m).direction, 20);
  IS("RIP at the instruction", REG(&m, rip), 0x1007);
  ((struct hax_fastmmio*)m.io)->value = 0x1234;
  IS("and a write", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("of the result", record(&m).value, 0x9234);
  IS("by the same instruction", REG(&m, rip), 0x1007);
  IS("a store", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("RIP before it", REG(&m, rip), 0x100d);
  IS("stosw", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("DI before it", REG(&m, rdi), 0x100);
  IS("RIP before it", REG(&m, rip), 0x1011);
  IS("xchg is not in the driver's emulator", status_of(&m), HAX_EXIT_STATECHANGE);
  IS("for ever", status_of(&m), HAX_EXIT_STATECHANGE);
  get_regs(&m, &state);
  state._rip = 0x1016;
  set_regs(&m, &state);
  IS("whatever is set", status_of(&m), HAX_EXIT_STATECHANGE);
  finish(&m);
  /* ds=a000; mov [fff],ax (over a page's end); mov eax,[ffe]; hlt */
  START(&m, "\xb8\x00\xa0\x8e\xd8\xa3\xff\x0f\x66\xa1\xfe\x0f\xf4");
  real_mode(&m, 0x1000);
  IS("a store over the end of a page", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("is one exit", record(&m).size, 2);
  IS("with the whole value", record(&m).value, 0xa000);
  IS("RIP before it", REG(&m, rip), 0x1005);
  IS("a load over it", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("is one exit too", record(&m).size, 4);
  ((struct hax_fastmmio*)m.io)->value = 0x44332211;
  IS("halts", status_of(&m), HAX_EXIT_HLT);
  IS("with the whole value", REG(&m, rax), 0x44332211);
  finish(&m);
}

/* What a client may do between an exit and the next RUN. */
static void between(void) {
  struct machine m;
  struct vcpu_state_t state;
  /* in al,10; ds=a000; mov [4],al; mov bl,[5]; out 20,al; hlt; hlt */
  START(&m, "\xe4\x10\xbb\x00\xa0\x8e\xdb\xa2\x04\x00\x8a\x1e\x05\x00\xe6\x20\xf4\xf4");
  real_mode(&m, 0x1000);
  IS("IN", status_of(&m), HAX_EXIT_IO);
  IS("RIP is past it", REG(&m, rip), 0x1002);
  m.io[0] = 0x5a;
  IS("the value waits", REG(&m, rax), 0);
  m.tunnel->_exit_reason = 8;
  IS("a pause completes it", status_of(&m), HAX_EXIT_PAUSED);
  IS("without entering the guest", REG(&m, rip), 0x1002);
  IS("the value is there", REG(&m, rax), 0x5a);
  IS("pauses until told otherwise", status_of(&m), HAX_EXIT_PAUSED);
  m.tunnel->_exit_reason = 0;
  IS("a store", status_of(&m), HAX_EXIT_FAST_MMIO);
  get_regs(&m, &state);
  state._rcx = 0x77;
  set_regs(&m, &state);
  get_regs(&m, &state);
  IS("SET_REGS there shows", state._rcx, 0x77);
  IS("with RIP still before the store", state._rip, 0x1007);
  IS("the store is not made twice", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("the next is the load", record(&m).direction, 0);
  ((struct hax_fastmmio*)m.io)->value = 0x66;
  m.tunnel->_exit_reason = 8;
  IS("a pause completes the load", status_of(&m), HAX_EXIT_PAUSED);
  IS("RIP is past it", REG(&m, rip), 0x100e);
  IS("its value", REG(&m, rbx) & 0xff, 0x66);
  m.tunnel->_exit_reason = 0;
  IS("OUT", status_of(&m), HAX_EXIT_IO);
  get_regs(&m, &state);
  IS("what was set has stayed", state._rcx, 0x77);
  IS("RIP is past the OUT", state._rip, 0x1010);
  state._rip = 0x1011;
  set_regs(&m, &state);
  IS("HLT", status_of(&m), HAX_EXIT_HLT);
  IS("at the new RIP", REG(&m, rip), 0x1012);
  struct fx_layout fx;
  memset(&fx, 0, sizeof fx);
  fx.bytes[0] = 0x7f;
  fx.bytes[1] = 3;
  fx.bytes[24] = 0x80;
  fx.bytes[25] = 0x1f;
  fx.bytes[160] = 0xab;
  fx.bytes[500] = 0xcd;
  ioctl(m.vcpu, HAX_VCPU_IOCTL_SET_FPU, &fx);
  state._rip = 0x1011;
  set_regs(&m, &state);
  status_of(&m);
  ioctl(m.vcpu, HAX_VCPU_IOCTL_GET_FPU, &fx);
  IS("the FPU's state survives the guest", fx.bytes[0] == 0x7f && fx.bytes[1] == 3 && fx.bytes[160] == 0xab && fx.bytes[500] == 0xcd, 1);
  finish(&m);
}

static int raise_vector(const struct machine* m, uint32_t vector) { return ioctl(m->vcpu, HAX_VCPU_IOCTL_INTERRUPT, &vector); }

static void interrupts(void) {
  struct machine m;
  /* cli; hlt; sti; nop; jmp .   Handlers at 2000 (30), 2010 (31): out N,al; iret */
  START(&m, "\xfa\xf4\xfb\x90\xeb\xfe");
  memcpy(m.ram + 0x30 * 4, "\x00\x20\x00\x00\x10\x20\x00\x00", 8);
  memcpy(m.ram + 0x2000, "\xe6\x30\xcf", 3);
  memcpy(m.ram + 0x2010, "\xe6\x31\xcf", 3);
  real_mode(&m, 0x1000);
  IS("HLT with IF=0", status_of(&m), HAX_EXIT_HLT);
  IS("is ready all the same", m.tunnel->ready_for_interrupt_injection, 1);
  raise_vector(&m, 0x30);
  raise_vector(&m, 0x31);
  raise_vector(&m, 0x31);
  IS("a queued vector waits for STI", status_of(&m), HAX_EXIT_IO);
  IS("the highest comes first", m.tunnel->io._port, 0x31);
  IS("not ready in the handler", m.tunnel->ready_for_interrupt_injection, 0);
  IS("then the other", status_of(&m), HAX_EXIT_IO);
  IS("once each", m.tunnel->io._port, 0x30);
  /* On a busy host an interrupt may come before the guest is out of its handler, and another one before the window. */
  for (int i = 0; i == 0 || (i < MOST_INTERRUPTS && !m.tunnel->ready_for_interrupt_injection); i++) ioctl(m.vcpu, HAX_VCPU_IOCTL_RUN, 0);
  IS("a host interrupt ends a spinning guest's RUN", m.tunnel->_exit_status, HAX_EXIT_INTERRUPT);
  IS("ready with IF=1", m.tunnel->ready_for_interrupt_injection, 1);
  m.tunnel->request_interrupt_window = 1;
  for (int i = 0; i == 0 || (i < MOST_INTERRUPTS && m.tunnel->_exit_reason != 7); i++) ioctl(m.vcpu, HAX_VCPU_IOCTL_RUN, 0);
  IS("a window", m.tunnel->_exit_reason * 10 + m.tunnel->_exit_status, 74);
  m.tunnel->request_interrupt_window = 0;
  /* hlt in the loop's place: a vector queued before it keeps the guest going. */
  memcpy(m.ram + 0x1004, "\xf4\xfa\xf4", 3);
  struct vcpu_state_t state;
  get_regs(&m, &state);
  state._rip = 0x1004;
  set_regs(&m, &state);
  raise_vector(&m, 0x30);
  IS("injected", status_of(&m), HAX_EXIT_IO);
  IS("its handler", m.tunnel->io._port, 0x30);
  IS("HLT", status_of(&m), HAX_EXIT_HLT);
  raise_vector(&m, 0x31);
  IS("wakes", status_of(&m), HAX_EXIT_IO);
  IS("the HLT", m.tunnel->io._port, 0x31);
  IS("goes on behind it", status_of(&m), HAX_EXIT_HLT);
  IS("at the second HLT", REG(&m, rip), 0x1007);
  finish(&m);
}

/* Of the observations: GET_REGS behind an HLT in the shadow of STI brings the shadow back. */
static void shadow(void) {
  struct machine m;
  struct vcpu_state_t state;
  /* sti; hlt; cli; hlt; jmp to the second hlt.   Handler at 2000: out 30,al; iret */
  START(&m, "\xfb\xf4\xfa\xf4\xeb\xfd");
  memcpy(m.ram + 0x30 * 4, "\x00\x20\x00\x00", 4);
  memcpy(m.ram + 0x2000, "\xe6\x30\xcf", 3);
  real_mode(&m, 0x1000);
  IS("HLT behind STI", status_of(&m), HAX_EXIT_HLT);
  raise_vector(&m, 0x30);
  IS("is left by a vector", status_of(&m), HAX_EXIT_IO);
  IS("and CLI comes behind it", status_of(&m), HAX_EXIT_HLT);
  IS("at the second HLT", REG(&m, rip), 0x1004);
  get_regs(&m, &state);
  state._rip = 0x1000;
  set_regs(&m, &state);
  IS("HLT behind STI again", status_of(&m), HAX_EXIT_HLT);
  get_regs(&m, &state);
  raise_vector(&m, 0x30);
  /* An interrupt that comes before the CLI ends nothing. */
  for (int i = 0; i == 0 || (i < MOST_INTERRUPTS && REG(&m, rip) == 0x1002); i++) ioctl(m.vcpu, HAX_VCPU_IOCTL_RUN, 0);
  IS("after GET_REGS the second HLT does not exit", m.tunnel->_exit_status, HAX_EXIT_INTERRUPT);
  IS("the guest goes round there", REG(&m, rip) - 0x1003 < 2, 1);
  IS("without interrupts", REG(&m, rflags) & 0x200, 0);
  finish(&m);
}

static void protect(const struct machine* m, uint64_t gpa, uint32_t flags) {
  struct hax_protect_ram_info info = {gpa, 4096, flags, 0};
  ioctl(m->vm, HAX_VM_IOCTL_PROTECT_RAM, &info);
}

static void memory_part(void) {
  struct machine m;
  /* mov al,[2000]; mov [2001],al; inc byte [2002]; hlt; jmp to the start; at 1100 the same, ended by out 10,al */
  START(&m, "\xa0\x00\x20\xa2\x01\x20\xfe\x06\x02\x20\xf4\xeb\xf3");
  m.ram[0x2000] = 0x41;
  real_mode(&m, 0x1000);
  IS("warm", status_of(&m), HAX_EXIT_HLT);
  protect(&m, 0x2000, 0);
  IS("a read of a protected page", status_of(&m), HAX_EXIT_PAGEFAULT);
  IS("its address", m.tunnel->pagefault.gpa, 0x2000);
  IS("its kind", m.tunnel->pagefault.flags, 1);
  IS("RIP at it", REG(&m, rip), 0x1000);
  IS("again until it is lifted", status_of(&m), HAX_EXIT_PAGEFAULT);
  m.ram[0x2000] = 0x42;
  protect(&m, 0x2000, 7);
  IS("then the guest goes on", status_of(&m), HAX_EXIT_HLT);
  IS("with what the page holds then", m.ram[0x2001], 0x42);
  IS("and each access is made once", m.ram[0x2002], 2);
  memcpy(m.ram + 0x1000, "\xc6\x06\x05\x20\x55\xf4", 6); /* mov byte [2005],55; hlt */
  real_mode(&m, 0x1000);
  protect(&m, 0x2000, 0);
  IS("a write", status_of(&m), HAX_EXIT_PAGEFAULT);
  IS("its kind", m.tunnel->pagefault.flags, 2);
  IS("RIP at it", REG(&m, rip), 0x1000);
  IS("nothing is written yet", m.ram[0x2005], 0);
  protect(&m, 0x2000, 7);
  IS("then it is", status_of(&m), HAX_EXIT_HLT);
  IS("written", m.ram[0x2005], 0x55);
  protect(&m, 0x1000, 0);
  real_mode(&m, 0x1000);
  IS("a fetch", status_of(&m), HAX_EXIT_PAGEFAULT);
  IS("its kind", m.tunnel->pagefault.flags, 4);
  protect(&m, 0x1000, 7);
  IS("goes on", status_of(&m), HAX_EXIT_HLT);
  /* An alias shows the same memory, ROM keeps it. */
  set_ram(m.vm, 0x400000, 0x1000, 0, m.ram + 0x2000);
  set_ram(m.vm, 0x6000, 0x1000, 1, m.ram + 0x2000);
  memcpy(m.ram + 0x1000, "\xa0\x05\x60\xa2\x06\x60\xf4", 7); /* mov al,[6005]; mov [6006],al; hlt */
  real_mode(&m, 0x1000);
  IS("a write to ROM", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("is one to a device", record(&m).gpa * 16 + record(&m).direction, 0x60061);
  IS("ROM is read as memory", record(&m).value, 0x55);
  IS("and stays", status_of(&m) == HAX_EXIT_HLT && m.ram[0x2006] == 0, 1);
  IS("memory that is not there", alloc_ram(m.vm, (void*)0x123456780000, 0x1000), 0);
  set_ram(m.vm, 0x7000, 0x1000, 0, (void*)0x123456780000);
  memcpy(m.ram + 0x1000, "\xa0\x00\x70\xf4", 4); /* mov al,[7000] */
  real_mode(&m, 0x1000);
  IS("kills the vCPU when touched", status_of(&m), HAX_EXIT_STATECHANGE);
  finish(&m);
}

static void* spin_there(void* machine) {
  const struct machine* m = machine;
  for (;;) {
    if (ioctl(m->vcpu, HAX_VCPU_IOCTL_RUN, 0) < 0 || m->tunnel->_exit_status != HAX_EXIT_INTERRUPT) return NULL;
  }
}

static void threads(void) {
  struct machine m;
  pthread_t thread;
  /* sti; mov al,[2000]; cmp al,0; je back to the read; hlt.   30: out 30,al; iret */
  START(&m, "\xfb\xa0\x00\x20\x3c\x00\x74\xf9\xfa\xf4");
  memcpy(m.ram + 0x30 * 4, "\x00\x30\x00\x00", 4);
  memcpy(m.ram + 0x3000, "\xe6\x30\xcf", 3);
  real_mode(&m, 0x1000);
  pthread_create(&thread, NULL, spin_there, &m);
  usleep(30000);
  raise_vector(&m, 0x30);
  pthread_join(thread, NULL);
  IS("INTERRUPT during RUN", m.tunnel->io._port, 0x30);
  pthread_create(&thread, NULL, spin_there, &m);
  for (int i = 0; i < 1000 && *(volatile uint32_t*)&m.tunnel->_exit_status == HAX_EXIT_IO; i++) usleep(1000);
  for (int i = 0; i < 50; i++) {
    set_ram(m.vm, 0x400000, 0x1000, 0, m.ram + (size_t)(i % 16) * 4096);
    set_ram(m.vm, 0x2000, 0x1000, 0, m.ram + 0x2000);
  }
  set_ram(m.vm, 0x400000, 0x1000, 0x80, NULL);
  IS("memory changes beside a RUN", m.tunnel->_exit_status, HAX_EXIT_INTERRUPT);
  m.ram[0x2000] = 1;
  pthread_join(thread, NULL);
  IS("and the guest sees it", m.tunnel->_exit_status, HAX_EXIT_HLT);
  finish(&m);
}

static void on_alarm(int number) { (void)number; }

/* Signals at any moment are nothing to the driver. */
static void signals(void) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  const struct itimerval often = {{0, 100}, {0, 100}};
  const struct itimerval never = {{0, 0}, {0, 0}};
  sigaction(SIGALRM, &action, NULL);
  int made = 0;
  setitimer(ITIMER_REAL, &often, NULL);
  for (int i = 0; i < 20; i++) {
    struct machine m = {0};
    open_vm(&m);
    open_vcpu(&m, 0);
    made += m.vm >= 0 && m.vcpu >= 0;
    finish(&m);
  }
  setitimer(ITIMER_REAL, &never, NULL);
  IS("VMs made under a rain of signals", made, 20);
}

/* Flat 32-bit, and 64-bit: what real mode does not show. */
static void protected_mode(void) {
  struct machine m;
  struct vcpu_state_t state;
  /* mov edx,80000000; mov [edx+ecx*4+10],ebx; add [edx],bl; out dx,eax; ud2 with no IDT */
  START(&m, "\xba\x00\x00\x00\x80\x89\x5c\x8a\x10\x00\x1a\xef\x0f\x0b");
  get_regs(&m, &state);
  state._cr0 = 0x60000011;
  state._rip = 0x1000;
  state._rsp = 0x8000;
  state._rcx = 4;
  state._rbx = 0x89abcdef;
  state._cs = (struct segment_desc_t){8, 0, 0xffffffff, 0, 0xc09b, 0};
  for (struct segment_desc_t* s = &state._ss; s <= &state._gs; s++) *s = (struct segment_desc_t){0x10, 0, 0xffffffff, 0, 0xc093, 0};
  state._idt.limit = 0;
  set_regs(&m, &state);
  IS("a scaled store", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("its address", record(&m).gpa, 0x80000020);
  IS("its value", record(&m).value, 0x89abcdef);
  IS("EIP before it", REG(&m, rip), 0x1005);
  IS("a read-modify-write", status_of(&m), HAX_EXIT_FAST_MMIO);
  ((struct hax_fastmmio*)m.io)->value = 1;
  IS("its second half", status_of(&m), HAX_EXIT_FAST_MMIO);
  IS("the sum", record(&m).value, 0xf0);
  IS("OUT", status_of(&m), HAX_EXIT_IO);
  IS("its size and port", m.tunnel->io._size * 0x10000 + m.tunnel->io._port, 0x40000);
  IS("a triple fault", status_of(&m), HAX_EXIT_STATECHANGE);
  IS("is for ever", status_of(&m), HAX_EXIT_STATECHANGE);
  finish(&m);
  START(&m, "\xf4");
  get_regs(&m, &state);
  state._rflags = 0;
  set_regs(&m, &state);
  IS("flags without bit 1 cannot be entered", status_of(&m), HAX_EXIT_STATECHANGE);
  finish(&m);
}

/* HAXM_MODEL_FORK: forks, first with all memory kept from children, then without. */
static void forks(void) {
  struct machine m;
  START(&m, "\xf4");
  madvise(m.ram, RAM_SIZE, MADV_DONTFORK);
  madvise((void*)(uintptr_t)m.tunnel, 4096, MADV_DONTFORK);
  madvise(m.io, 4096, MADV_DONTFORK);
  for (int i = 0; i < 2; i++) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
    printf("forked\n");
    madvise(m.io, 4096, MADV_DOFORK);
  }
}

/* HAXM_MODEL_NULL: exits without a guest, as many as RCX says. */
static void null_device(void) {
  struct machine m;
  struct vcpu_state_t state;
  enum { EXITS = 1000000 };
  START(&m, "\xf4");
  get_regs(&m, &state);
  state._rax = 0x41;
  state._rcx = EXITS;
  state._rdx = 0x3f8;
  state._rbx = 1;
  set_regs(&m, &state);
  struct timespec begin_time, end_time;
  clock_gettime(CLOCK_MONOTONIC, &begin_time);
  long count = 0;
  while (ioctl(m.vcpu, HAX_VCPU_IOCTL_RUN, 0) == 0 && m.tunnel->_exit_status == HAX_EXIT_IO) count++;
  clock_gettime(CLOCK_MONOTONIC, &end_time);
  IS("as many exits as asked for", count, EXITS);
  IS("then HLT", m.tunnel->_exit_status, HAX_EXIT_HLT);
  const double ns = (double)(end_time.tv_sec - begin_time.tv_sec) * 1e9 + (double)(end_time.tv_nsec - begin_time.tv_nsec);
  printf("# %.1f ns an exit\n", ns / EXITS);
  finish(&m);
}

/* Prints what the driver says under the switches of the environment; the test compares. */
static void switches(void) {
  struct hax_module_version version = {0, 0};
  struct hax_capabilityinfo cap = {0};
  struct machine m = {0};
  m.hax = open("/dev/HAX", O_RDWR);
  printf("open %d\n", m.hax < 0 ? errno : 0);
  printf("access %d\n", access("/dev/HAX", R_OK | W_OK) < 0 ? errno : 0);
  if (m.hax < 0) return;
  printf("version %d\n", ioctl(m.hax, HAX_IOCTL_VERSION, &version) < 0 ? -errno : (int)version.cur_version);
  ioctl(m.hax, HAX_IOCTL_CAPABILITY, &cap);
  printf("capability %x %x %lx\n", cap.wstatus, cap.winfo, cap.mem_quota);
  const int created = ioctl(m.hax, HAX_IOCTL_CREATE_VM, &m.id);
  printf("create-vm %d\n", created < 0 ? errno : 0);
  if (created < 0) return;
  m.vm = open(vm_path(m.id), O_RDWR);
  m.ram = memory(RAM_SIZE);
  memcpy(m.ram + 0x1000, "\xe6\x80\xeb\xfc", 4); /* out 80,al; jmp to it */
  printf("alloc-ram %d\n", alloc_ram(m.vm, m.ram, RAM_SIZE) < 0 ? errno : 0);
  printf("set-ram %d\n", set_ram(m.vm, 0, 0x90000, 0, m.ram) < 0 ? errno : 0);
  printf("unmap %d\n", set_ram(m.vm, 0x80000, 0x1000, 0x80, NULL) < 0 ? errno : 0);
  uint32_t id = 0;
  const int vcpu = ioctl(m.vm, HAX_VM_IOCTL_VCPU_CREATE, &id);
  printf("vcpu-create %d\n", vcpu < 0 ? errno : 0);
  if (vcpu < 0) return;
  m.vcpu = open(vcpu_path(m.id, 0), O_RDWR);
  struct hax_tunnel_info info = {0};
  ioctl(m.vcpu, HAX_VCPU_IOCTL_SETUP_TUNNEL, &info);
  printf("tunnel %u\n", info.size);
  setup_tunnel(&m);
  uint8_t wide[520];
  uint64_t dr7;
  memset(wide, 0, sizeof wide);
  printf("get-regs %d\n", ioctl(m.vcpu, HAX_VCPU_GET_REGS, wide) < 0 ? errno : 0);
  const int wide_result = ioctl(m.vcpu, 0xC20800C8, wide);
  printf("get-regs-520 %d\n", wide_result < 0 ? errno : 0);
  memcpy(&dr7, wide + 0x1d0, 8);
  if (wide_result == 0) printf("dr7-520 %lx\n", dr7);
  if (wide_result == 0) {
    memset(wide + 0x90, 0, 2);
    memset(wide + 0x98, 0, 8);
    memcpy(wide + 0x80, "\x00\x10\0\0\0\0\0", 8);
    printf("set-regs-520 %d\n", ioctl(m.vcpu, 0xC20800C7, wide) < 0 ? errno : 0);
  } else {
    real_mode(&m, 0x1000);
  }
  for (int i = 0; i < 3; i++) {
    const int result = ioctl(m.vcpu, HAX_VCPU_IOCTL_RUN, 0);
    printf("run %d %u\n", result < 0 ? -errno : result, m.tunnel->_exit_status);
  }
  struct hax_cpuid* table = calloc(1, sizeof *table);
  ioctl(m.vcpu, HAX_VCPU_IOCTL_GET_CPUID, &table);
  printf("cpuid %u\n", table->total);
  free(table);
}
