import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { MirrorStep } from '@mirabelle/messages'
import { run } from '../src/run.ts'
import { renderPlan } from '../src/render/mirror-plan.ts'
import { renderRecover, renderStart } from '../src/render/start-report.ts'

const command = fileURLToPath(new URL('../bin/mirabelle.js', import.meta.url))
const base = await mkdtemp(join(tmpdir(), 'mirabelle-exit-'))
t.teardown(() => rm(base, { recursive: true }))

process.env['MIRABELLE_DIR'] = join(base, 'nothing')

/** Runs the command in this process; what it writes is caught. */
async function mirabelle(test: Test, ...args: string[]) {
  const out = test.capture(process.stdout, 'write', () => true)
  const err = test.capture(process.stderr, 'write', () => true)
  await run(args)
  const status = process.exitCode
  process.exitCode = 0
  const text = (calls: readonly { args: readonly unknown[] }[]): string =>
    calls.map((call) => String(call.args[0])).join('')
  const outcome = { status, stdout: text(out()), stderr: text(err()) }
  out.restore()
  err.restore()
  return outcome
}

t.test('the exit status and the words of a process of its own', (test) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, 'state'], { encoding: 'utf8' })
  test.equal(status, 2)
  test.equal(stdout, '')
  test.match(stderr, /^mirabelle: there is no cluster in /)
  test.end()
})

t.test('what the operating system refuses is one sentence, without a stack', async (test) => {
  const dir = join(base, 'dangling')
  await symlink(join(base, 'no', 'such'), dir)
  const { status, stderr } = await mirabelle(test, 'init', '--dir', dir)
  test.equal(status, 2)
  test.match(stderr, /^mirabelle: E[A-Z]+: .*dangling.*\n$/)
})

t.test('help is there for the command and for all of its parts', async (test) => {
  const top = await mirabelle(test, '--help')
  test.equal(top.status, 0)
  for (const name of [
    'init',
    'start',
    'stop',
    'state',
    'recover',
    'mirrors',
    'host',
    'destroy',
    'demo',
    'waldump',
    'quickstart',
    'agent',
  ]) {
    test.match(top.stdout, new RegExp(`^  ${name} `, 'm'))
  }
  for (const args of [['init'], ['state'], ['standby', 'activate'], ['mirrors', 'add'], ['host', 'drain']]) {
    const one = await mirabelle(test, ...args, '--help')
    test.equal(one.status, 0)
    test.match(one.stdout, /--dir <folder>/)
  }
})

t.test('without a cluster each command says in one sentence what to do, and exits with 2', async (test) => {
  for (const args of [
    ['start'],
    ['stop'],
    ['state'],
    ['state', '--json'],
    ['recover'],
    ['recover', '--dry-run'],
    ['mirrors', 'add'],
    ['mirrors', 'remove', '--yes'],
    ['host', 'stop', 'host1'],
    ['stop', '--host', 'host1'],
    ['standby', 'activate'],
    ['fts-probe'],
  ]) {
    const { status, stdout, stderr } = await mirabelle(test, ...args)
    test.equal(status, 2, args.join(' '))
    test.equal(stdout, '')
    test.match(stderr, /^mirabelle: there is no cluster in .*mirabelle init/)
    test.notMatch(stderr, /^\s+at /m, 'no stack trace')
  }
})

t.test('there is nothing to destroy where there is no cluster', async (test) => {
  test.equal((await mirabelle(test, 'destroy', '--yes')).status, 0)
  const { status, stdout } = await mirabelle(test, 'destroy', '--yes', '--json')
  test.equal(status, 0)
  test.match(JSON.parse(stdout), { deleted: false })
})

t.test('what cannot be understood exits with 2 and names the option', async (test) => {
  for (const [args, words] of [
    [['stop', '--mode', 'gently'], /smart, fast, immediate/],
    [['init', '--segments', 'many'], /--segments.*whole number/s],
    [['frobnicate'], /unknown command/],
    [['recover', '--max-rate', 'fast'], /megabytes a second from 0\.1 to 10000/],
    [['mirrors', 'move'], /required option '-i, --input <file>'/],
    [['config', 'set', '=5s'], /give the name of a setting: mirabelle config set NAME=5s/],
    [['config', 'set', 'gp_fts_probe_interval'], /give a value: /],
    [['init', '--set', 'gp_fts_probe_interval=soon'], /invalid value for "gp_fts_probe_interval"/],
    [['init', '--hosts', '1', '--mirroring', 'spread', '--segments', '0'], /--segments/],
  ] as const) {
    const { status, stderr } = await mirabelle(test, ...args)
    test.equal(status, 2, args.join(' '))
    test.match(stderr, words)
  }
})

t.test('a description that is no description is refused, not overwritten', async (test) => {
  const dir = join(base, 'broken')
  await mkdir(dir)
  await writeFile(join(dir, 'cluster.json'), '{"formatVersion":1}')
  const { status, stderr } = await mirabelle(test, 'init', '--dir', dir)
  test.equal(status, 2)
  test.match(stderr, /cluster\.json is not the description of a cluster/)
})

t.test('a YAML file with a mistake stops init before anything is written', async (test) => {
  const file = join(base, 'c.yaml')
  await writeFile(file, 'cluster:\n  port: 1234567\nhosts: []\n')
  const { status, stderr } = await mirabelle(test, 'init', '-f', file)
  test.equal(status, 2)
  test.match(stderr, /c\.yaml:2: cluster\.port/)
})

t.test('waldump names a path that is not there', async (test) => {
  const { status, stderr } = await mirabelle(test, 'waldump', join(base, 'nowhere'))
  test.equal(status, 2)
  test.match(stderr, /nowhere does not exist/)
})

t.test('recover exits with 0 when all came back, 1 when some did, 2 when none did', (test) => {
  const done = { dbid: 2, content: 0, outcome: 'done', message: 'recovered and in sync' } as const
  const failed = { dbid: 5, content: 1, outcome: 'failed', message: 'its host is away' } as const
  test.equal(renderRecover([done], []).exitStatus, 0)
  test.equal(renderRecover([done, failed], []).exitStatus, 1)
  test.equal(renderRecover([failed], []).exitStatus, 2)
  test.end()
})

t.test("start counts segments as gpstart's table does", (test) => {
  const results = [
    { dbid: 2, content: 0, outcome: 'done', message: '' },
    { dbid: 3, content: 1, outcome: 'failed', message: 'no such host' },
    { dbid: 4, content: 0, outcome: 'skipped', message: '' },
    { dbid: 6, content: -1, outcome: 'done', message: '' },
  ] as const
  const { lines, exitStatus } = renderStart(results)
  test.equal(exitStatus, 1)
  test.ok(lines.includes('Successfully started 1 of 3 segment instances, skipped 1 other segments'))
  test.ok(lines.some((line) => /Failed segment starts +=\s1 +<<<<<<<</.test(line)))
  test.ok(lines.some((line) => line.includes('dbid 3 (content 1): no such host')))
  test.equal(renderStart([results[0]]).exitStatus, 0)
  test.end()
})

t.test('a dry run says what would be done about contents that nobody serves', (test) => {
  const step = (content: number, obstacle: string | null) =>
    ({
      kind: 'recover',
      content,
      oldDbid: null,
      row: { dbid: 9 },
      source: null,
      mode: 'auto',
      bytes: null,
      obstacle,
      warning: null,
    }) as unknown as MirrorStep
  const revival = (outcome: 'skipped' | 'failed') =>
    ({ dbid: 2, content: 0, outcome, message: 'as it is' }) as const
  const report = renderPlan([step(0, 'its primary is down'), step(1, null)], [revival('skipped')])
  test.equal(report.exitStatus, 0, 'what waits for that can be done then')
  test.match(report.lines[0], /^Content 0: dbid 2: as it is/)
  test.equal(renderPlan([step(0, 'its primary is down')], [revival('failed')]).exitStatus, 2)
  test.equal(renderPlan([step(1, null)], [revival('failed')]).exitStatus, 1)
  test.equal(renderPlan([], [revival('skipped')]).exitStatus, 0)
  test.end()
})
