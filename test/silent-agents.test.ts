/** Agents and instances that are dead or hang: what runs below them is still stopped, or named; it is never taken for stopped, nor deleted while it runs. */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { lockHolder } from '@mirabelle/engine'
import { commandOn } from './support/command.ts'

t.setTimeout(300_000)

const base = await mkdtemp(join(tmpdir(), 'mirabelle-silent-'))
const dir = join(base, 'cluster')

const mirabelle = commandOn(dir)

const agentPid = async (): Promise<number> => Number(await readFile(join(dir, 'host1', 'agent.pid'), 'utf8'))

t.teardown(async () => {
  await mirabelle('destroy', '--yes')
  await rm(base, { recursive: true, force: true })
})

t.test('a cluster whose agent was killed is stopped all the same', async (test) => {
  const made = [
    '--hosts',
    '1',
    '--segments',
    '1',
    '--mirroring',
    'none',
    '--no-standby',
    '--set',
    'mirrorless_policy=refuse',
  ]
  test.equal((await mirabelle('init', ...made)).status, 0)
  test.equal((await mirabelle('start')).status, 0)
  process.kill(await agentPid(), 'SIGKILL')
  const { status, stdout } = await mirabelle('stop')
  test.match({ status, stdout }, { status: 0, stdout: /successfully shut down \(2 instances\)/ })
  test.match(await mirabelle('stop'), { status: 0, stdout: 'The cluster was not running' })
  const inside = await lockHolder(join(dir, 'host1', 'primary0'))
  test.equal(inside, undefined, 'its primary has ended')
})

t.test('a primary that hangs, and that no mirror can replace, is started anew by start', async (test) => {
  test.equal((await mirabelle('start')).status, 0)
  const hung = await lockHolder(join(dir, 'host1', 'primary0'))
  if (hung === undefined) throw new Error('the primary does not run')
  process.kill(hung, 'SIGSTOP')
  test.match(await mirabelle('start'), { status: 0, stdout: /Successfully started 1 of 1/ })
  const now = await lockHolder(join(dir, 'host1', 'primary0'))
  test.not(now, hung, 'another process')
  test.match(await mirabelle('state', '-e'), { status: 0 })
  test.match(await mirabelle('stop'), { status: 0 })
})

t.test('what runs below an agent that hangs is named by stop, and not deleted by destroy', async (test) => {
  test.equal((await mirabelle('start')).status, 0)
  const agent = await agentPid()
  process.kill(agent, 'SIGSTOP')
  const recovered = await mirabelle('recover')
  test.equal(recovered.status, 0, 'nothing to do is no failure')
  test.match(recovered.stderr, new RegExp(`The agent of host1 does not answer: its process ${agent} `))
  const stopped = await mirabelle('stop', '--timeout', '5')
  test.not(stopped.status, 0)
  test.match(
    stopped.stdout,
    new RegExp(`Not stopped: the agent of host1: its process ${agent} .*kill -9 ${agent}`),
  )
  test.match(stopped.stdout, /Not stopped: dbid 2 on host1 runs as process \d+/)
  const destroyed = await mirabelle('destroy', '--yes')
  test.equal(destroyed.status, 2)
  test.match(destroyed.stderr, /nothing was deleted/)
  test.ok(existsSync(join(dir, 'host1')))
  process.kill(agent, 'SIGKILL')
  test.match(await mirabelle('stop'), { status: 0 })
  test.match(await mirabelle('stop'), { status: 0, stdout: 'The cluster was not running' })
  test.match(await mirabelle('destroy', '--yes'), { status: 0 })
  test.notOk(existsSync(dir))
})
