import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { EngineLocked, lockFolder, lockHolder, type EnginePort } from '@mirabelle/engine'
import { engineOn, newInstance, newPrimary, temporaryFolder } from './support/kit.ts'

const HOLDER =
  "import('@mirabelle/engine').then(async (m) => { await m.lockFolder(process.argv[1]); console.log('held'); setInterval(() => {}, 1000) })"

async function holdElsewhere(folder: string): Promise<{ pid: number; kill: () => Promise<void> }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', HOLDER, folder], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return {
    pid: child.pid as number,
    kill: async () => {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

t.test(
  'a second process is refused by name of the first; kill -9 of the first frees the folder',
  async (t) => {
    const folder = await temporaryFolder(t)
    const other = await holdElsewhere(folder)
    await t.rejects(lockFolder(folder), {
      code: 'ENGINE_LOCKED',
      pid: other.pid,
      message: new RegExp(`process ${other.pid}`),
    })
    t.equal(await lockHolder(folder), other.pid)
    await other.kill()
    const lock = await lockFolder(folder)
    t.equal(await lockHolder(folder), process.pid)
    await lock.release()
    t.equal(await lockHolder(folder), undefined)
  },
)

t.test('the same process is refused a second time, through another path too', async (t) => {
  const folder = await temporaryFolder(t)
  const lock = await lockFolder(folder)
  t.teardown(() => lock.release())
  const alias = join(await temporaryFolder(t), 'alias')
  await symlink(folder, alias)
  const refused = await lockFolder(alias).catch((error: unknown) => error)
  t.ok(refused instanceof EngineLocked)
  t.match(refused, { pid: process.pid, message: /this process/ })
})

t.test(
  'a lock file whose pid now belongs to another process, or that is cut short, does not lock',
  async (t) => {
    const folder = await temporaryFolder(t)
    await writeFile(join(folder, 'instance.lock'), JSON.stringify({ pid: process.ppid, startedAt: '1' }))
    await (await lockFolder(folder)).release()
    await writeFile(join(folder, 'instance.lock'), '{"pid":')
    await (await lockFolder(folder)).release()
  },
)

t.test('a lock file of a living process locks even where its socket cannot be seen', async (t) => {
  const folder = await temporaryFolder(t)
  const elsewhere = await temporaryFolder(t)
  const other = await holdElsewhere(elsewhere)
  t.teardown(() => other.kill())
  await writeFile(join(folder, 'instance.lock'), await readFile(join(elsewhere, 'instance.lock')))
  await t.rejects(lockFolder(folder), { code: 'ENGINE_LOCKED', pid: other.pid })
})

t.test(
  'a holder that has ended and that its parent does not look after holds nothing',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    const folder = await newInstance(t)
    // What the shell becomes never asks what has become of its child.
    const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 100'])
    t.teardown(() => parent.kill('SIGKILL'))
    const [line] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(line)
    const fields = async () => (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
    while ((await fields())[0] !== 'Z') await new Promise((resolve) => setImmediate(resolve))
    await writeFile(join(folder, 'instance.lock'), JSON.stringify({ pid, startedAt: (await fields())[19] }))
    await (await lockFolder(folder)).release()
  },
)

t.test('two engines on one folder: the second start is refused, the first goes on', async (t) => {
  const { engine, folder } = await newPrimary(t)
  await t.rejects(engineOn(t, folder).startPrimary(), { code: 'ENGINE_LOCKED', pid: process.pid })
  await engine.stop('fast')
  await engineOn(t, folder).startPrimary()
})

t.test('a start that fails gives the lock back', async (t) => {
  const folder = await newInstance(t)
  await writeFile(join(folder, 'pgdata', 'global', 'pg_control'), 'rubbish')
  await t.rejects(engineOn(t, folder).startPrimary(), { code: 'ENGINE_REFUSED' })
  await (await lockFolder(folder)).release()
})

t.test('a claimed folder stays locked while the engine is stopped, until it is given back', async (t) => {
  const folder = await newInstance(t)
  const engineOf = () => engineOn(t, folder) as Required<EnginePort>
  const engine = engineOf()
  await engine.claim()
  await engine.claim() // once more changes nothing
  await t.rejects(engineOf().claim(), { code: 'ENGINE_LOCKED', pid: process.pid })
  await engine.startPrimary()
  await engine.stop('immediate')
  await t.rejects(lockFolder(folder), { code: 'ENGINE_LOCKED' }, 'it is stopped, and may be started again')
  await engine.startPrimary()
  await engine.unclaim()
  await t.rejects(lockFolder(folder), { code: 'ENGINE_LOCKED' }, 'it runs')
  await engine.stop('immediate')
  const lock = await lockFolder(folder)
  await t.rejects(engine.claim(), { code: 'ENGINE_LOCKED' })
  await lock.release()
  await engine.claim()
  await engine.unclaim()
  await (await lockFolder(folder)).release()
})
