/* The sections of replay.c in which guests run. */

/* Answers an exit as the log's program did: IN gets 44 33 22 11 88 77 66 55, a string of bytes "abcd…", an MMIO read the low byte of
   its address under 11223344556677; after an OUT or a write the buffer is wiped with CC. */
static void answer(const struct machine* m) {
  static const uint8_t number[] = {0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55};
  const volatile struct hax_tunnel* t = m->tunnel;
  if (t->_exit_status == HAX_EXIT_IO && t->io._direction == 0) {
    memset(m->io, 0xcc, 4096);
  } else if (t->_exit_status == HAX_EXIT_IO && t->io._flags) {
    for (int i = 0; i < t->io._count * t->io._size; i++) m->io[i] = (uint8_t)('a' + i);
  } else if (t->_exit_status == HAX_EXIT_IO) {
    memcpy(m->io, number, sizeof number);
  } else if (t->_exit_status == HAX_EXIT_FAST_MMIO) {
    struct hax_fastmmio* record = (void*)m->io;
    if (record->direction == 0) {
      record->value = 0x1122334455667700 | (record->gpa & 0xff);
    } else {
      memset(m->io, 0xcc, 4096);
    }
  }
}

static int interrupt(const struct machine* m, const char* name, uint32_t vector) {
  return call(name, m->vcpu, HAX_VCPU_IOCTL_INTERRUPT, &vector);
}

/* clang-format off */
static const char kRunGuest[] =
    "\xb0\x41\xba\xf8\x03\xee"                                  /* 1000 mov al,41; mov dx,3f8; out dx,al */
    "\xb8\x34\x12\xe7\x80"                                      /* 1006 mov ax,1234; out 80,ax */
    "\x66\xb8\xef\xcd\xab\x89\x66\xef"                          /* 100b mov eax,89abcdef; out dx,eax */
    "\x66\xa3\x00\x32\xec\xed\x66\xed"                          /* 1013 mov [3200],eax; in al,dx; in ax,dx; in eax,dx */
    "\x31\xc0\x8e\xd8\x8e\xc0\xbe\xe9\x10\xb9\x05\x00\xfc\xf3\x6e" /* 101b xor ax,ax; ds = es = ax; si=10e9; cx=5; cld; rep outsb */
    "\xbf\x00\x30\xb9\x04\x00\xf3\x6c"                          /* 102a di=3000; cx=4; rep insb */
    "\xbf\x10\x30\xb9\x03\x00\xf3\x6d"                          /* 1032 di=3010; cx=3; rep insw */
    "\xfd\xbe\xec\x10\xb9\x04\x00\xf3\x6e"                      /* 103a std; si=10ec; cx=4; rep outsb */
    "\xfc\xb8\x00\xa0\x8e\xd8\x8e\xc0"                          /* 1043 cld; ax=a000; ds = es = ax */
    "\xa0\x10\x00\xa2\x11\x00\xa1\x12\x00\xa3\x14\x00"          /* 104b mov al,[10]; mov [11],al; mov ax,[12]; mov [14],ax */
    "\x66\xa1\x18\x00\x66\xa3\x1c\x00"                          /* 1057 mov eax,[18]; mov [1c],eax */
    "\x66\xc7\x06\x20\x00\xef\xbe\xad\xde"                      /* 105f mov dword [20],deadbeef */
    "\x80\x06\x24\x00\x05\xb3\x77"                              /* 1068 add byte [24],5; mov bl,77 */
    "\x80\x3e\x2c\x00\x77"                                      /* 106f cmp byte [2c],77 */
    "\x31\xc0\x8e\xc0\xb9\x02\x00\xbe\x30\x00\xbf\x20\x30\xf3\xa4" /* 1074 es=0; cx=2; si=30; di=3020; rep movsb */
    "\xb8\x00\xa0\x8e\xc0\xbe\x40\x00\xbf\x50\x00\xa5"          /* 1083 es=a000; si=40; di=50; movsw */
    "\xb0\x5a\xb9\x02\x00\xbf\x60\x00\xf3\xaa"                  /* 108f al=5a; cx=2; di=60; rep stosb */
    "\xbb\x99\x11\x90\x90\x0f\xb6\x1e\x70\x00"                  /* 1099 bx=1199; nop; nop; movzx bx,byte [70] */
    "\xb8\x00\xf0\x8e\xd8\xb0\xee\x90\xa2\x00\x00"              /* 10a3 ds=f000; al=ee; nop; mov [0],al */
    "\x66\xb8\x00\x00\x00\x00\x0f\xa2\x66\x53\x66\x52\x66\x51\xf4" /* 10ae eax=0; cpuid; push ebx, edx, ecx; hlt */
    "\xb8\x42\x42\x90\xf4"                                      /* 10bd ax=4242; nop; hlt */
    "\x31\xc0\x8e\xd8\xc7\x06\xc0\x00\xe2\x10\xc7\x06\xc2\x00\x00\x00\xfb\xf4" /* 10c2 vector 30 = 0:10e2; sti; hlt */
    "\x90\xb8\x51\x51\x90\xfa\xf4"                              /* 10d4 nop; ax=5151; nop; cli; hlt */
    "\x66\xff\x06\x00\x35\xeb\xf9"                              /* 10db inc dword [3500]; jmp 10db */
    "\x50\xb0\x49\xe6\xe9\x58\xcf"                              /* 10e2 push ax; al=49; out e9,al; pop ax; iret */
    "Hello";                                                    /* 10e9 */
/* clang-format on */

static void spin(const struct machine* m, const char* name, const char* fields) {
  const volatile struct hax_tunnel* t = m->tunnel;
  const int result = ioctl(m->vcpu, HAX_VCPU_IOCTL_RUN, 0);
  begin("%s", name);
  field("ret=%d reason=%u status=%u", result, t->_exit_reason, t->_exit_status);
  if (strchr(fields, 'u')) field("uep=%u", t->user_event_pending);
  if (strchr(fields, 'w')) field("ready=%u reqwin=%u", t->ready_for_interrupt_injection, t->request_interrupt_window);
}

static void run_section(void) {
  section("run");
  struct machine m;
  START(&m, kRunGuest);
  memset(m.ram + 0xf0000, 0xee, 0x10000);
  set_ram(m.vm, 0xf0000, 0x10000, 1, m.ram + 0xf0000);
  real_mode(&m, 0x1000);
  begin("GET_REGS");
  show_all(&m);
  for (int step = 1; step <= 33; step++) {
    if (step == 32) interrupt(&m, "INTERRUPT(0x30)", 0x30);
    run(&m);
    show_tunnel(&m, 16);
    show_regs(&m);
    answer(&m);
  }
  begin("memory");
  bytes("ram", m.ram + 0x3000, 48);
  bytes("3200", m.ram + 0x3200, 4);
  bytes("stack", m.ram + 0x7ff0, 16);
  bytes("rom[0..4]", m.ram + 0xf0000, 4);
  for (int i = 0; i < 5; i++) spin(&m, "RUN:spin", "");
  m.tunnel->user_event_pending = 1;
  spin(&m, "RUN:tunnel", "u");
  m.tunnel->request_interrupt_window = 1;
  spin(&m, "RUN:tunnel", "w");
  struct vcpu_state_t state;
  get_regs(&m, &state);
  state._rflags = 0x202;
  set_regs(&m, &state);
  for (int i = 0; i < 3; i++) spin(&m, "RUN:tunnel", "w");
  m.tunnel->request_interrupt_window = 0;
  interrupt(&m, "INTERRUPT", 0x30);
  const int result = run(&m);
  field("r=%d", result);
  show_tunnel(&m, 4);
  show_regs(&m);
  finish(&m);
}

static void msr_call(const struct machine* m, unsigned long request, const char* name, uint16_t count, uint32_t index) {
  static struct hax_msr_data data;
  memset(&data, 0, sizeof data);
  data.nr_msr = count;
  for (int i = 0; i < 32; i++) data.entries[i].entry = index;
  if (call(name, m->vcpu, request, &data) >= 0) field("done=%u", data.done);
}

static void msr_section(void) {
  static const uint32_t kMsrs[] = {0x10,       0x1b,       0xfe,       0x174,      0x175,      0x176,      0x1a0,
                                   0x277,      0x2ff,      0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084,
                                   0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103, 0x8b,       0x3a,       0x17,
                                   0xce,       0x179,      0x12345,    0x480,      0x38d,      0xda0};
  section("msr");
  struct machine m;
  struct hax_msr_data data;
  START(&m, "\xf4");
  for (size_t i = 0; i < sizeof kMsrs / sizeof *kMsrs; i++) {
    memset(&data, 0xcc, sizeof data);
    data.nr_msr = 1;
    data.entries[0].entry = kMsrs[i];
    const int result = ioctl(m.vcpu, HAX_VCPU_IOCTL_GET_MSRS, &data);
    begin("GET_MSR:%08x", kMsrs[i]);
    field("ret=%d done=%u value=%lx", result, data.done, data.entries[0].value);
  }
  memset(&data, 0, sizeof data);
  data.nr_msr = 3;
  data.done = 0xcc;
  data.entries[0] = (struct vmx_msr){0xc0000080, 0x500};
  data.entries[1] = (struct vmx_msr){0xc0000081, 0x11223344};
  data.entries[2] = (struct vmx_msr){0x12345, 1};
  call("SET_MSRS_efer=500_star_bad", m.vcpu, HAX_VCPU_IOCTL_SET_MSRS, &data);
  field("done=%u", data.done);
  data.nr_msr = 2;
  ioctl(m.vcpu, HAX_VCPU_IOCTL_GET_MSRS, &data);
  field("efer=%lx star=%lx done=%u", data.entries[0].value, data.entries[1].value, data.done);
  msr_call(&m, HAX_VCPU_IOCTL_GET_MSRS, "GET_MSRS_nr=0x1f", 0x1f, 0x10);
  msr_call(&m, HAX_VCPU_IOCTL_GET_MSRS, "GET_MSRS_nr=0x20", 0x20, 0x10);
  msr_call(&m, HAX_VCPU_IOCTL_SET_MSRS, "SET_MSRS_nr=0x20", 0x20, 0x10);
  msr_call(&m, HAX_VCPU_IOCTL_GET_MSRS, "GET_MSRS_nr=0", 0, 0x10);
  struct fx_layout fx;
  call("GET_FPU", m.vcpu, HAX_VCPU_IOCTL_GET_FPU, &fx);
  bytes("fx", &fx, 48);
  fx.bytes[0] = 0x7f;
  fx.bytes[1] = 2;
  fx.bytes[24] = 0xa0;
  fx.bytes[25] = 0x1f;
  fx.bytes[32] = 0x42;
  fx.bytes[0xd5] = 0x99;
  call("SET_FPU", m.vcpu, HAX_VCPU_IOCTL_SET_FPU, &fx);
  memset(&fx, 0, sizeof fx);
  call("GET_FPU", m.vcpu, HAX_VCPU_IOCTL_GET_FPU, &fx);
  bytes("fx", &fx, sizeof fx);
  struct vcpu_state_t state;
  get_regs(&m, &state);
  state._rax = 0x1122334455667788;
  state._r8[0] = 8;
  state._cr2 = 0x1000;
  state._cr3 = 0x2000;
  state._cs._dummy = 7;
  state._cs.ar |= 0x10000;
  state._cs.ipad = 5;
  state._dr[0] = 0x100;
  state._pde = 1;
  state._efer = 0x500;
  state._sysenter_cs = 2;
  state._sysenter_eip = 3;
  state._sysenter_esp = 4;
  state._activity_state = 1;
  state.pad = 6;
  state._interruptibility_state = 0x700000001;
  call("SET_REGS", m.vcpu, HAX_VCPU_SET_REGS, &state);
  show_all(&m);
  finish(&m);
}

static void debug_call(const struct machine* m, const char* name, uint32_t control, uint64_t dr0, uint64_t dr7) {
  struct hax_debug_t debug = {control, 0, {dr0, 0, 0, 0, 0, 0, 0, dr7}};
  call(name, m->vcpu, HAX_IOCTL_VCPU_DEBUG, &debug);
}

static void run_shown(const struct machine* m) {
  run(m);
  show_tunnel(m, 0);
  show_regs(m);
}

static void prot_section(void) {
  section("prot");
  struct machine m;
  START(&m, "\xb8\x00\x00\xa0\x00\x20\x90\x90\xf4"); /* ax=0; mov al,[2000]; nop; nop; hlt */
  m.ram[0x2000] = 0x77;
  real_mode(&m, 0x1000);
  protect_call("PROTECT_RAM_NONE_gpa_2000", m.vm, 0x2000, 0x1000, 0, 0);
  run_shown(&m);
  run(&m);
  show_tunnel(&m, 0);
  protect_call("PROTECT_RAM_RWX", m.vm, 0x2000, 0x1000, 7, 0);
  run_shown(&m);
  /* ax=55; mov byte [2000],99; hlt; nop; int3 */
  memcpy(m.ram + 0x1000, "\xb8\x55\x00\xc6\x06\x00\x20\x99\xf4\x90\xcc", 11);
  real_mode(&m, 0x1000);
  debug_call(&m, "VCPU_DEBUG_step", 1 | 2, 0, 0);
  for (int i = 0; i < 4; i++) run_shown(&m);
  debug_call(&m, "VCPU_DEBUG_swbp", 1 | 4, 0, 0);
  run_shown(&m);
  real_mode(&m, 0x1000);
  debug_call(&m, "VCPU_DEBUG_hwbp", 1 | 8, 0x1003, 3);
  run_shown(&m);
  debug_call(&m, "VCPU_DEBUG_off", 0, 0, 0);
  run(&m);
  show_tunnel(&m, 0);
  struct vcpu_state_t state;
  get_regs(&m, &state);
  state._cs.base = 0xa0000;
  state._cs.selector = 0xa000;
  state._rip = 0;
  set_regs(&m, &state);
  run_shown(&m);
  run(&m);
  show_tunnel(&m, 0);
  finish(&m);
}

static void long_section(void) {
  section("long");
  struct machine m;
  /* mov rax,1122334455667788; mov dx,3f8; out dx,al; in eax,dx; mov rbx,30000000; mov rcx,[rbx]; mov [rbx+8],rcx; mov ecx,c0000080;
     rdmsr; mov ebx,edx; hlt */
  START(&m,
        "\x48\xb8\x88\x77\x66\x55\x44\x33\x22\x11\x66\xba\xf8\x03\xee\xed\x48\xbb\x00\x00\x00\x30\x00\x00\x00\x00\x48\x8b\x0b"
        "\x48\x89\x4b\x08\xb9\x80\x00\x00\xc0\x0f\x32\x89\xd3\xf4");
  uint64_t* tables = (void*)(m.ram + 0x10000);
  tables[0] = 0x11003;
  tables[512] = 0x12003;
  for (uint64_t i = 0; i < 512; i++) tables[1024 + i] = (i << 21) | 0x83;
  struct hax_msr_data data = {1, 0, 0, {{0xc0000080, 0x500}}};
  call("SET_MSRS_efer=500", m.vcpu, HAX_VCPU_IOCTL_SET_MSRS, &data);
  struct vcpu_state_t state;
  get_regs(&m, &state);
  state._rip = 0x1000;
  state._rsp = 0x8000;
  state._cr0 = 0x80000031;
  state._cr3 = 0x10000;
  state._cr4 = 0x20;
  state._cs = (struct segment_desc_t){8, 0, 0xffffffff, 0, 0xa09b, 0};
  for (struct segment_desc_t* s = &state._ss; s <= &state._gs; s++) *s = (struct segment_desc_t){0x10, 0, 0xffffffff, 0, 0xc093, 0};
  state._tr = (struct segment_desc_t){0x18, 0, 0x67, 0, 0x8b, 0};
  state._gdt.base = 0x13000;
  state._gdt.limit = 0x1f;
  call("SET_REGS_long", m.vcpu, HAX_VCPU_SET_REGS, &state);
  show_all(&m);
  run_shown(&m);
  run_shown(&m);
  memcpy(m.io, "\x0d\xf0\xfe\xca\0\0\0", 8);
  run_shown(&m);
  ((struct hax_fastmmio*)m.io)->value = 0x123456789abcdef;
  run_shown(&m);
  run_shown(&m);
  show_all(&m);
  finish(&m);
}

static void triple_section(void) {
  section("triple");
  struct machine m;
  START(&m, "\x0f\x01\x1e\x00\x20\xcc"); /* lidt [2000], where the limit is 0; int3 */
  real_mode(&m, 0x1000);
  run_shown(&m);
  for (int i = 0; i < 2; i++) {
    run(&m);
    show_tunnel(&m, 0);
  }
  show_stat(vm_path(0));
  finish(&m);
}

static int cpuid_call(const struct machine* m, const char* name, unsigned long request, struct hax_cpuid* table) {
  return call(name, m->vcpu, request, &table);
}

static void show_cpuid(const struct hax_cpuid_entry* e, int whole) {
  const uint32_t f = e->function;
  if (whole) field("%08x.idx=%u %08x.flags=%u", f, e->index, f, e->flags);
  field("%08x.eax=%08x %08x.ebx=%08x %08x.ecx=%08x %08x.edx=%08x", f, e->eax, f, e->ebx, f, e->ecx, f, e->edx);
  if (whole) field("%08x.pad=%u%u%u", f, e->pad[0], e->pad[1], e->pad[2]);
}

static void cpuid_section(void) {
  section("cpuid");
  struct machine m;
  START(&m, "\xf4");
  struct hax_cpuid* table = calloc(1, sizeof *table + 65 * sizeof table->entries[0]);
  cpuid_call(&m, "GET_CPUID(0)", HAX_VCPU_IOCTL_GET_CPUID, table);
  field("total=%u pad=%u", table->total, table->pad);
  cpuid_call(&m, "GET_CPUID(n)", HAX_VCPU_IOCTL_GET_CPUID, table);
  for (uint32_t i = 0; i < table->total && i < 64; i++) show_cpuid(&table->entries[i], 1);
  table->total = 1;
  cpuid_call(&m, "GET_CPUID_total=1_(too_small)", HAX_VCPU_IOCTL_GET_CPUID, table);
  field("total=%u", table->total);
  table->total = 65;
  cpuid_call(&m, "GET_CPUID_total=65", HAX_VCPU_IOCTL_GET_CPUID, table);
  table->total = 1;
  table->entries[0] = (struct hax_cpuid_entry){1, 0, 0, 0, 0, ~0u, ~0u, {0}};
  cpuid_call(&m, "SET_CPUID_fn1_all", HAX_VCPU_IOCTL_SET_CPUID, table);
  table->total = 64;
  cpuid_call(&m, "GET_CPUID", HAX_VCPU_IOCTL_GET_CPUID, table);
  show_cpuid(&table->entries[1], 0);
  table->total = 0;
  cpuid_call(&m, "SET_CPUID_total=0", HAX_VCPU_IOCTL_SET_CPUID, table);
  table->total = 65;
  cpuid_call(&m, "SET_CPUID_total=65", HAX_VCPU_IOCTL_SET_CPUID, table);
  cpuid_call(&m, "SET_CPUID_ptr_NULL", HAX_VCPU_IOCTL_SET_CPUID, NULL);
  free(table);
  finish(&m);
}

static volatile struct hax_tunnel* signalled;
static volatile sig_atomic_t signals;

static void on_alarm(int number) {
  (void)number;
  signalled->user_event_pending = 1;
  signals = 1;
}

static void* run_there(void* machine) {
  int interrupts;
  return (void*)(intptr_t)run_on(machine, &interrupts);
}

static void thread_section(void) {
  section("thread");
  struct machine m;
  START(&m, "\xee\x66\xff\x06\x00\x35\xeb\xf9"); /* out dx,al; inc dword [3500]; jmp to it */
  real_mode(&m, 0x1000);
  pthread_t thread;
  void* result;
  begin("RUN");
  pthread_create(&thread, NULL, run_there, &m);
  pthread_join(thread, &result);
  field("ret=%d errno=0 ret=%d status=%u reason=%u", (int)(intptr_t)result, (int)(intptr_t)result, m.tunnel->_exit_status,
        m.tunnel->_exit_reason);
  signalled = m.tunnel;
  signal(SIGALRM, on_alarm);
  const struct itimerval timer = {{0, 0}, {0, 50000}};
  setitimer(ITIMER_REAL, &timer, NULL);
  while (!signals) ioctl(m.vcpu, HAX_VCPU_IOCTL_RUN, 0);
  begin("RUN:signal");
  field("status=%u reason=%u uep=%u", m.tunnel->_exit_status, m.tunnel->_exit_reason, m.tunnel->user_event_pending);
  close(m.vm);
  show_stat(vm_path(0));
  m.ram[0x1006] = 0xf4; /* hlt in the jump's place */
  m.tunnel->user_event_pending = 0;
  run(&m);
  field("status=%u", m.tunnel->_exit_status);
  close(m.vcpu);
  show_stat(vm_path(0));
  show_stat(vcpu_path(0, 0));
  close(m.hax);
}

static void list(void) {
  begin("list");
  for (uint32_t id = 0; id < 64; id++) {
    struct stat st;
    if (stat(vm_path(id), &st) == 0) field("vm%02u=there", id);
  }
}

static void many_section(void) {
  section("many");
  int fds[9];
  const int hax = open("/dev/HAX", O_RDWR);
  for (int i = 0; i < 10; i++) {
    uint32_t id = 0;
    const int result = ioctl(hax, HAX_IOCTL_CREATE_VM, &id);
    begin("CREATE_VM:%d", i);
    field("ret=%d errno=%d id=%x", result, result < 0 ? errno : 0, id);
    if (i < 9) fds[i] = open(vm_path(id), O_RDWR);
  }
  list();
  for (int i = 0; i < 9; i++) close(fds[i]);
  for (uint32_t id = 0; id < 64; id++) { /* a second listing on the same line */
    struct stat st;
    if (stat(vm_path(id), &st) == 0) field("vm%02u=there", id);
  }
  close(hax);
}

static void run_short(const struct machine* m, int registers) {
  run(m);
  show_exit(m);
  if (registers) show_regs(m);
}

static void strings(void) {
  struct machine m;
  START(&m, "\xba\xf8\x03\xbe\x00\x40\xb9\x45\x23\xf3\x6e\xf4"); /* dx=3f8; si=4000; cx=2345; rep outsb; hlt */
  for (int i = 0; i < 0x2345; i++) m.ram[0x4000 + i] = (uint8_t)(i / 16);
  real_mode(&m, 0x1000);
  for (int i = 0; i < 6; i++) {
    run(&m);
    show_exit(&m);
    field("iob[0]=%02x iob[4095]=%02x", m.io[0], m.io[4095]);
    show_regs(&m);
  }
  finish(&m);
  START(&m, "\xba\xf8\x03\xbf\x01\x40\xb9\x00\x09\xf3\x6d\xf4"); /* dx=3f8; di=4001; cx=900; rep insw; hlt */
  real_mode(&m, 0x1000);
  for (int i = 0; i < 6; i++) {
    run_short(&m, 1);
    for (int j = 0; j < 64; j++) m.io[j] = (uint8_t)j;
  }
  begin("memory");
  bytes("4000", m.ram + 0x4000, 5);
  bytes("5000", m.ram + 0x5000, 4);
  bytes("5201", m.ram + 0x5201, 1);
  finish(&m);
  START(&m, "\xf3\x6e\xf4\xeb\xfd"); /* rep outsb with cx=0; hlt; jmp to it */
  real_mode(&m, 0x1000);
  run_short(&m, 0);
  run_short(&m, 0);
  finish(&m);
}

static void starts(void) {
  struct machine m;
  START(&m, "");
  run_short(&m, 0);
  run_short(&m, 0);
  finish(&m);
  START(&m, "");
  m.ram[0xffff0] = 0xf4;
  struct hax_set_ram_info rom = {0xffff0000, 0x10000, 1, {0}, (uintptr_t)(m.ram + 0xf0000)};
  call("SET_RAM_FFFF0000", m.vm, HAX_VM_IOCTL_SET_RAM, &rom);
  run_short(&m, 1);
  finish(&m);
  open_vm(&m);
  open_vcpu(&m, 0);
  run_short(&m, 0);
  finish(&m);
  START(&m, "\xf4");
  real_mode(&m, 0x1000);
  struct vcpu_state_t state;
  get_regs(&m, &state);
  state._cs.ar = 0;
  call("SET_REGS", m.vcpu, HAX_VCPU_SET_REGS, &state);
  run_short(&m, 1);
  finish(&m);
  START(&m, "\xf4");
  real_mode(&m, 0x1000);
  m.tunnel->_exit_reason = 8;
  run_short(&m, 0);
  m.tunnel->_exit_reason = 0;
  run_short(&m, 0);
  finish(&m);
}

static void remapping(void) {
  struct machine m;
  START(&m, "\xa0\x00\x20\xf4\xa0\x00\x20\xf4\xa0\x00\x20\xf4"); /* three times mov al,[2000]; hlt */
  m.ram[0x2000] = 0x11;
  m.ram[0x100000] = 0x22;
  real_mode(&m, 0x1000);
  run_short(&m, 1);
  ram_call("SET_RAM_INVALID_2000", m.vm, 0x2000, 0x1000, 0x80, NULL);
  run_short(&m, 0);
  ((struct hax_fastmmio*)m.io)->value = 0x99;
  run_short(&m, 1);
  ram_call("SET_RAM_remap", m.vm, 0x2000, 0x1000, 0, m.ram + 0x100000);
  run_short(&m, 1);
  finish(&m);
}

static void processors(void) {
  struct machine m;
  START(&m, "\xe6\x80\xf4"); /* out 80,al; hlt */
  m.ram[0x1100] = 0xf4;
  struct machine other = m;
  uint32_t id;
  vcpu_call("VCPU_CREATE(1)", m.vm, 1, &id);
  field("out=%u", id);
  show_stat(vcpu_path(m.id, 1));
  other.vcpu = show_open("open:vcpu", vcpu_path(m.id, 1), O_RDWR);
  struct hax_tunnel_info info;
  setup_call(other.vcpu, &info);
  setup_tunnel(&other);
  real_mode(&m, 0x1000);
  real_mode(&other, 0x1100);
  run_short(&m, 0);
  run_short(&m, 0);
  run_short(&other, 0);
  field("apicbase=%lx", other.tunnel->apic_base);
  close(other.vcpu);
  finish(&m);
  open_vm(&m);
  m.ram = memory(RAM_SIZE);
  m.ram[0x1000] = 0xf4;
  alloc_ram(m.vm, m.ram, RAM_SIZE);
  set_ram(m.vm, 0, 0x90000, 0, m.ram);
  open_vcpu(&m, 3);
  real_mode(&m, 0x1000);
  run(&m);
  show_tunnel(&m, 0);
  finish(&m);
}

static void more_section(void) {
  section("more");
  struct machine m;
  strings();
  starts();
  remapping();
  processors();
  START(&m, "\x66\xb9\x45\x23\x01\x00\x0f\x32"); /* mov ecx,12345; rdmsr */
  memcpy(m.ram + 0x1010, "\x0f\x0b", 2);         /* ud2 */
  real_mode(&m, 0x1000);
  run_short(&m, 1);
  real_mode(&m, 0x1010);
  run_short(&m, 1);
  finish(&m);
  START(&m, "\xba\xff\xff\xed\x66\xef\xf4"); /* dx=ffff; in ax,dx; out dx,eax; hlt */
  real_mode(&m, 0x1000);
  for (int i = 0; i < 3; i++) run_short(&m, 0);
  finish(&m);
  START(&m, "\xb8\x00\x80\x8e\xd8\x66\xa1\xfe\xff\xf4"); /* ds=8000; mov eax,[fffe]; hlt */
  real_mode(&m, 0x1000);
  run_short(&m, 1);
  finish(&m);
  START(&m, "\xb8\x00\xa0\x8e\xd8\x66\xa1\xfe\x0f\xf4"); /* ds=a000; mov eax,[ffe]; hlt */
  real_mode(&m, 0x1000);
  run_short(&m, 0);
  ((struct hax_fastmmio*)m.io)->value = 0x11223344;
  run_short(&m, 1);
  finish(&m);
}

static void ram2_section(void) {
  section("ram2");
  struct machine m;
  open_vm(&m);
  uint8_t* block = memory(0x100000);
  uint8_t* standalone = memory(0x100000);
  uint8_t* rom = memory(0x10000);
  alloc_call("ALLOC_RAM_va+0x10_size_0x10000", m.vm, (uint8_t*)memory(0x20000) + 0x10, 0x10000, 0);
  alloc_call("ALLOC_RAM_pad=7", m.vm, block, 0x100000, 7);
  alloc_call("ALLOC_RAM_va_not_mapped_in_process", m.vm, (void*)0x123456789000, 0x10000, 0);
  block_call("ADD_RAMBLOCK_size_0x1234", m.vm, memory(0x2000), 0x1234, 0);
  block_call("ADD_RAMBLOCK_va_unaligned", m.vm, (uint8_t*)memory(0x2000) + 8, 0x1000, 0);
  block_call("ADD_RAMBLOCK_size_0", m.vm, rom, 0, 0);
  uint8_t* small = memory(0x1000);
  uint8_t request[24] = {0};
  memcpy(request, &small, 8);
  request[9] = 0x10;
  call("ADD_RAMBLOCK_with_docs'_20-byte_struct_(0x40140085)", m.vm, 0x40140085, request);
  ram_call("then_SET_RAM_of_it", m.vm, 0x500000, 0x1000, 0, small);
  ram2_call("SET_RAM2_STANDALONE_1MiB_at_gpa_0", m.vm, 0, 0x100000, standalone, 0x40);
  ram2_call("SET_RAM2_alias_inside_the_standalone_block", m.vm, 0x200000, 0x1000, standalone + 0x3000, 0);
  ram2_call("SET_RAM2_STANDALONE|ROM", m.vm, 0xfff00000, 0x10000, rom, 0x41);
  ram2_call("SET_RAM2_pa_4G", m.vm, 0x100000000, 0x1000, block, 0);
  ram2_call("SET_RAM2_pa_2^52", m.vm, (uint64_t)1 << 52, 0x1000, block, 0);
  ram2_call("SET_RAM2_runs_past_the_end_of_block", m.vm, 0x300000, 0x10000, block + 0xff000, 0);
  standalone[0x1000] = 0xf4;
  open_vcpu(&m, 0);
  real_mode(&m, 0x1000);
  run(&m);
  field("status=%u", m.tunnel->_exit_status);
  /* mov al,[9000]; mov ah,[a000]; mov bl,[b000]; hlt */
  memcpy(standalone + 0x2000, "\xa0\x00\x90\x8a\x26\x00\xa0\x8a\x1e\x00\xb0\xf4", 12);
  standalone[0x9000] = 0x23;
  standalone[0xa000] = 0x24;
  standalone[0xb000] = 0x25;
  block[0x4000] = 0x21;
  block[0x4008] = 0x22;
  ram_call("SET_RAM_pa_0x9010_size_0x1ff0_va+8", m.vm, 0x9010, 0x1ff0, 0, block + 0x4008);
  real_mode(&m, 0x2000);
  run(&m);
  field("status=%u", m.tunnel->_exit_status);
  show_regs(&m);
  finish(&m);
}

/* A child that has all of this process's memory and descriptors, and does nothing. */
static pid_t fork_idle(void) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  return child;
}

static int held[2][3];

/* The log's children kept the nodes open to its end. */
static void hold(const struct machine* m, int* fds) {
  fds[0] = dup(m->hax);
  fds[1] = dup(m->vm);
  fds[2] = dup(m->vcpu);
  finish((struct machine*)m);
}

static void fork_section(void) {
  section("fork");
  struct machine m;
  START(&m, "\xee\xf4\xeb\xfc"); /* out dx,al; hlt; jmp back */
  real_mode(&m, 0x1000);
  run(&m);
  show_tunnel(&m, 0);
  const pid_t first = fork_idle();
  usleep(20000);
  m.ram[0x1001] = 0xee;
  begin("memory");
  field("ram[1001]=%02x", m.ram[0x1001]);
  run(&m);
  show_tunnel(&m, 0);
  m.tunnel->request_interrupt_window = 1;
  run(&m);
  show_tunnel(&m, 0);
  run(&m);
  show_tunnel(&m, 0);
  show_regs(&m);
  kill(first, SIGKILL);
  waitpid(first, NULL, 0);
  hold(&m, held[0]);
  START(&m, "\xee\xf4\xeb\xfc");
  real_mode(&m, 0x1000);
  void* const areas[] = {m.ram, (void*)(uintptr_t)m.tunnel, m.io};
  for (int i = 0; i < 3; i++) {
    begin("madvise:%d", i);
    field("ret=%d", madvise(areas[i], i ? 4096 : RAM_SIZE, MADV_DONTFORK));
  }
  run(&m);
  const pid_t second = fork_idle();
  usleep(20000);
  m.ram[0x1001] = 0xee;
  run(&m);
  show_tunnel(&m, 0);
  m.tunnel->request_interrupt_window = 1;
  run(&m);
  show_tunnel(&m, 0);
  kill(second, SIGKILL);
  waitpid(second, NULL, 0);
  hold(&m, held[1]);
}

static void leak_section(void) {
  section("leak");
  struct machine m;
  m.hax = show_open("open:/dev/HAX", "/dev/HAX", O_RDWR);
  create_call(m.hax, &m.id);
  show_stat(vm_path(m.id));
  m.vm = show_open("open:vm", vm_path(m.id), O_RDWR);
}
