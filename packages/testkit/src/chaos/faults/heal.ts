/**
 * Brings a cluster back as its administrator would, with the commands that operations.md names, until everything is up and in sync and there is a standby. A cluster that
 * cannot be brought back is an anomaly.
 */
import type { Cluster } from 'mirabelle'
import { pause } from '../../cluster/wait-for.ts'
import type { ClusterView } from './cluster-view.ts'

const COMMAND_MS = 60_000
const AGAIN_MS = 200

export class NotHealed extends Error {
  override readonly name = 'NotHealed'
}

/** Resolves with what was done. Rejects with NotHealed when the cluster is not well within `limitMs`, or when it is stopped before. */
export async function heal(view: ClusterView, limitMs: number, stopped: () => boolean): Promise<string> {
  const deadline = performance.now() + limitMs
  const said: string[] = []
  let problem = ''
  while (performance.now() < deadline && !stopped()) {
    try {
      const cluster = await view.administrator()
      await bringUp(cluster, said)
      problem = await whatIsWrong(cluster)
      if (problem === '') {
        await view.look()
        return said.length === 0 ? 'nothing to do' : said.join('; ')
      }
    } catch (error) {
      problem = (error as Error).message
    }
    await pause(AGAIN_MS)
  }
  throw new NotHealed(
    `not well again after ${limitMs / 1000} s: ${problem}; what was done: ${said.join('; ')}`,
  )
}

async function bringUp(cluster: Cluster, said: string[]): Promise<void> {
  await cluster.start({ timeoutMs: COMMAND_MS, syncTimeoutMs: COMMAND_MS })
  for (const { dbid, message } of await cluster.recover({ timeoutMs: COMMAND_MS }))
    note(said, `recover dbid ${dbid}: ${message}`)
  const { standby } = (await cluster.state()).cluster
  if (standby === 'none')
    for (const { dbid, message } of await cluster.initStandby())
      note(said, `standby init dbid ${dbid}: ${message}`)
  else if (standby === 'down')
    for (const { dbid, message } of await cluster.resyncStandby())
      note(said, `standby resync dbid ${dbid}: ${message}`)
}

function note(said: string[], what: string): void {
  if (said.at(-1) !== what) said.push(what)
}

/** Empty when all is well. */
async function whatIsWrong(cluster: Cluster): Promise<string> {
  const { cluster: whole, instances } = await cluster.state()
  const bad = instances
    .filter(({ content, mode, status }) => status !== 'u' || (content >= 0 && mode !== 's'))
    .map(({ dbid, mode, status }) => `dbid ${dbid} is ${mode}/${status}`)
  if (whole.standby !== 'streaming') bad.push(`the standby is ${whole.standby}`)
  if (whole.inDoubt > 0) bad.push(`${whole.inDoubt} transactions are in doubt`)
  return bad.join(', ')
}
