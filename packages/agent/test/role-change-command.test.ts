import t, { type Test } from 'tap'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { realClock } from '@mirabelle/runtime'
import { runRoleChangeCommand } from '../src/role-change-command.ts'

// Nothing that is awaited here keeps the event loop alive: an instance has its listener for that.
const alive = setInterval(() => {}, 60_000)
t.teardown(() => clearInterval(alive))

const facts = {
  role: 'coordinator',
  host: "an odd 'host'; exit 9",
  address: '127.0.0.1',
  port: 6432,
  dbid: 6,
  epoch: 2,
  clusterId: 'c',
} as const

function start(t: Test, command: (dir: string) => string, limitMs?: number) {
  const dir = t.testdir()
  const outputFile = `${dir}/log/role-change.log`
  const run = runRoleChangeCommand(command(dir), facts, { clock: realClock, outputFile, limitMs })
  return { dir, run, said: () => readFileSync(outputFile, 'utf8') }
}

t.test(
  'the program gets role, host and port as arguments, more in its environment; what it prints is kept',
  async (t) => {
    const { run, said } = start(t, () => `printf '%s|%s|%s|%s|%s\n' "$MIRABELLE_ROLE" "$MIRABELLE_EPOCH"`)
    t.equal(await run.ended, 'exit status 0')
    t.equal(said(), `coordinator|2|coordinator|an odd 'host'; exit 9|6432\n`)
  },
)

t.test('a program that fails says so', async (t) => {
  t.equal(await start(t, () => 'false').run.ended, 'exit status 1')
  t.match(await start(t, () => '/no/such/program').run.ended, /exit status 127/)
})

t.test('a program that hangs is killed with all that it started', async (t) => {
  const { dir, run } = start(
    t,
    (dir) => `(sleep 60; touch ${dir}/late) & echo $! > ${dir}/pid; wait; :`,
    2_000,
  )
  t.equal(await run.ended, 'killed after 2000 ms')
  const pid = Number(readFileSync(`${dir}/pid`, 'utf8'))
  // It was sent its signal; when a busy machine lets it die is another matter.
  const deadline = performance.now() + 10_000
  while (isAlive(pid) && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10))
  t.notOk(isAlive(pid), 'the process that it started is gone, too')
  t.notOk(existsSync(`${dir}/late`))
})

t.test('a newer role kills it', async (t) => {
  const { run } = start(t, () => 'sleep 60;')
  run.kill()
  t.equal(await run.ended, 'killed: another role was taken up')
  run.kill() // one that is gone is gone
})

t.test('what programs print does not grow without limit', async (t) => {
  const dir = t.testdir({ 'role-change.log': 'x'.repeat(2 * 1024 * 1024) })
  const outputFile = `${dir}/role-change.log`
  t.equal(await runRoleChangeCommand('echo', facts, { clock: realClock, outputFile }).ended, 'exit status 0')
  t.ok(readFileSync(outputFile).length < 1_000)
})

t.test('a file that cannot be written is refused at once', (t) => {
  const dir = t.testdir()
  writeFileSync(`${dir}/file`, '')
  t.throws(() =>
    runRoleChangeCommand('true', facts, { clock: realClock, outputFile: `${dir}/file/role-change.log` }),
  )
  t.end()
})

/** A killed child of a child may wait for its new parent for a moment: then it is no process that does anything. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/[ZX]/.test(stat[stat.lastIndexOf(')') + 2] ?? 'X')
  } catch {
    return false
  }
}
