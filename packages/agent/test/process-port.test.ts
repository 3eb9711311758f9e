import t, { type Test } from 'tap'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, watch, writeFileSync } from 'node:fs'
import { realProcesses, type Processes } from '@mirabelle/agent'
import { realClock } from '@mirabelle/runtime'

const processes = realProcesses(realClock)
const spare = (processes as Required<Processes>).spare

// Nothing that is awaited here keeps the event loop alive: an agent has its listener for that.
const alive = setInterval(() => {}, 60_000)
t.teardown(() => clearInterval(alive))

function program(t: Test, text: string) {
  const dir = t.testdir()
  writeFileSync(`${dir}/program.mjs`, text)
  return { dir, script: `${dir}/program.mjs`, log: `${dir}/out.log` }
}

/** Resolves when the program has written its first line. */
function spoken(log: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(log, look)
    function look() {
      if (!existsSync(log) || readFileSync(log).length === 0) return
      watcher.close()
      resolve()
    }
    look()
  })
}

t.test('a process says how it ended, and what it said is in its log', async (t) => {
  const { script, log } = program(t, 'console.log(process.argv[2]); console.error("why"); process.exit(3)')
  const process = await processes.spawn(script, ['word'], log)
  t.same(await process.exited, { code: 3, signal: null })
  t.match(readFileSync(log, 'utf8'), /word\nwhy/)
  process.kill('SIGKILL') // one that is gone is gone
})

t.test('SIGKILL ends a process, also one that is stopped', async (t) => {
  for (const stopped of [false, true]) {
    const { script, log } = program(t, 'console.log("up"); setInterval(() => {}, 1000)')
    const child = await processes.spawn(script, [], log)
    await spoken(log)
    if (stopped) process.kill(child.pid, 'SIGSTOP')
    child.kill('SIGKILL')
    t.same(await child.exited, { code: null, signal: 'SIGKILL' })
  }
})

t.test('a process of another agent can be adopted, and its end is noticed', async (t) => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  await new Promise((resolve) => child.once('spawn', resolve))
  const adopted = processes.adopt(child.pid as number)
  t.equal(adopted?.pid, child.pid)
  adopted?.kill('SIGKILL')
  t.same(await adopted?.exited, { code: null, signal: null })
  t.equal(processes.adopt(child.pid as number), undefined, 'one that is gone cannot be adopted')
})

t.test(
  'a process that is made ahead does nothing before it is told to begin; it ends when its agent does',
  async (t) => {
    const { script, log } = program(
      t,
      `let text = ''
     process.stdin.on('data', (bytes) => (text += bytes))
     process.stdin.on('end', () => { console.log(JSON.stringify([text, process.argv[2]])); process.exit(text === '' ? 0 : 7) })`,
    )
    const begun = await spare(script, ['--spare'], log)
    begun.begin('/some/start.json')
    t.same(await begun.exited, { code: 7, signal: null })
    t.equal(readFileSync(log, 'utf8'), '["/some/start.json\\n","--spare"]\n')

    const dropped = await spare(script, [], log)
    dropped.kill('SIGKILL')
    t.same(await dropped.exited, { code: null, signal: 'SIGKILL' })
    dropped.begin('/some/start.json') // what is gone is not told, and nobody fails

    // An agent that makes one and is killed.
    const port = new URL('../dist/process-port.js', import.meta.url).href
    const agent = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { realProcesses } = await import(${JSON.stringify(port)})
       const { pid } = await realProcesses({}).spare(${JSON.stringify(script)}, [], ${JSON.stringify(log)})
       console.log(pid); setInterval(() => {}, 1000)`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const pid = await new Promise<number>((resolve) =>
      agent.stdout.once('data', (bytes) => resolve(Number(bytes))),
    )
    const orphan = processes.adopt(pid)
    t.equal(orphan?.pid, pid)
    agent.kill('SIGKILL')
    t.same(await orphan?.exited, { code: null, signal: null })
  },
)

t.test('a program that cannot be logged is refused', async (t) => {
  const { script, dir } = program(t, '')
  await t.rejects(async () => processes.spawn(script, [], `${dir}/missing/out.log`), { code: 'ENOENT' })
})
