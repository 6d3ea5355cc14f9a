/** What a KVM exit costs is where its way leads, not what it does (docs/performance.md): here is looked at the way itself, as it was compiled. */
import { spawnSync } from 'node:child_process';
import * as path from 'node:path';

const addon = path.resolve(__dirname, '../../build/Release/node_hax.node');
const hasObjdump = spawnSync('objdump', ['--version']).status === 0;

/** The calls and jumps of a function, with where they lead. */
function branchesOf(name: string): string[] {
  const { stdout, stderr } = spawnSync('objdump', ['-d', '-C', '--no-show-raw-insn', `--disassemble=${name}`, addon], { encoding: 'utf8' });
  expect(stderr).toBe('');
  return [...stdout.matchAll(/\t((?:call|j[a-z]+) .*)$/gm)].map(([, branch]) => branch.replace(/ +[0-9a-f]+ </, ' <'));
}

const reason = process.arch !== 'x64' ? 'not an x86-64 build' : hasObjdump ? undefined : 'there is no objdump (binutils)';

(reason ? describe.skip : describe)(`the way of run() into KVM and back${reason ? ` [skipped: ${reason}]` : ''}`, () => {
  it('is a direct jump, not the virtual call of other backends', () => {
    expect(branchesOf('hax::binding::Run(void*)')).toContain('jmp <hax::kvm::RunGuest(hax::Vcpu*)>');
  });

  it('has no call or jump through a pointer', () => {
    const branches = branchesOf('hax::kvm::RunGuest(hax::Vcpu*)');
    expect(branches).toContain('jmp <hax::kvm::KvmVcpu::FillExit()>');
    expect(branches.filter((branch) => /^\S+ +\*/.test(branch))).toEqual([]);
  });
});
