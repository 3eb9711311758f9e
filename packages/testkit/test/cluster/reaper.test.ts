// However a test ends, its cluster's processes end and its folder is deleted.
import t from 'tap'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, mkdir, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from '@mirabelle/testkit/cluster'
import { processesBelow } from '../../src/cluster/processes-below.ts'
import { Reaper } from '../../src/cluster/reaper.ts'

const linux = existsSync('/proc/self/cwd')

/** A process in a folder below, as an agent would be, which ends by itself only after the test's limit. */
async function processIn(dir: string): Promise<number> {
  const host = join(dir, 'host1')
  await mkdir(host)
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], { cwd: host, stdio: 'ignore' })
  await new Promise((resolve) => child.once('spawn', resolve))
  return child.pid as number
}

t.test(
  'asked to, it ends stopped processes too and deletes the folder',
  { skip: !linux && 'needs /proc' },
  async (t) => {
    const dir = await mkdtemp(join(await realpath(tmpdir()), 'mirabelle-reaper-'))
    const pid = await processIn(dir)
    process.kill(pid, 'SIGSTOP')
    t.same(processesBelow(dir), [pid])
    await new Reaper(dir).cleanUp()
    t.same(processesBelow(dir), [])
    t.notOk(existsSync(dir))
  },
)

t.test('a test that is killed leaves nothing behind', { skip: !linux && 'needs /proc' }, async (t) => {
  const dir = await mkdtemp(join(await realpath(tmpdir()), 'mirabelle-reaper-'))
  const pid = await processIn(dir)
  const reaper = new URL('../../dist/cluster/reaper.js', import.meta.url).href
  const program = `import(${JSON.stringify(reaper)}).then(({ Reaper }) => {
    new Reaper(${JSON.stringify(dir)}); console.log('ready'); setInterval(() => {}, 1000) })`
  const test = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve) => test.stdout.once('data', resolve))
  t.same(processesBelow(dir), [pid])
  test.kill('SIGKILL')
  await waitFor('the clean up', () => !existsSync(dir), 20_000)
  t.same(processesBelow(dir), [])
})
