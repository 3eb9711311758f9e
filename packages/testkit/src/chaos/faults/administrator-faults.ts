/** Commands of an administrator, given at any time: in the middle of failures, too. They may be refused; they may not do harm. */
import type { Cluster } from 'mirabelle'
import type { ActionResult } from '@mirabelle/messages'
import { pause, waitFor } from '../../cluster/wait-for.ts'
import type { ClusterView } from './cluster-view.ts'
import type { Fault, FaultContext, Struck } from './fault.ts'
import { nameOf, oneRunning, signal } from './signals.ts'

const COMMAND_MS = 60_000

export const administratorFaults = {
  recover: {
    description: '`mirabelle recover`',
    weight: 3,
    strike: ({ view }) =>
      command(view, 'recover', [], async (cluster) => tell(await cluster.recover({ timeoutMs: COMMAND_MS }))),
  },
  'recover-by-copy': {
    description:
      'SIGKILL to a mirror; a while after, `mirabelle recover --differential` or `--full`: its base is copied from its primary',
    weight: 5,
    strike: (context) => recoverByCopy(context),
  },
  rebalance: {
    description: '`mirabelle rebalance`: switchovers, when roles are not the preferred ones',
    weight: 3,
    strike: ({ view }) =>
      command(view, 'rebalance', view.dataContents, async (cluster) =>
        tell(await cluster.rebalance({ timeoutMs: COMMAND_MS, laneTimeoutMs: 3_000 })),
      ),
  },
  'fts-probe': {
    description: '`mirabelle fts-probe`',
    weight: 1,
    strike: ({ view }) =>
      command(view, 'fts-probe', [], async (cluster) => {
        await cluster.probe()
        return 'done'
      }),
  },
  'standby-init': {
    description: '`mirabelle standby init`, when there is no standby; `standby resync` otherwise',
    weight: 1,
    strike: ({ view }) =>
      command(view, 'standby init or resync', [-1], async (cluster) =>
        tell(await (cluster.standby === null ? cluster.initStandby() : cluster.resyncStandby())),
      ),
  },
  start: {
    description: '`mirabelle start`, whatever runs',
    weight: 1,
    strike: ({ view }) =>
      command(view, 'start', [], async (cluster) =>
        tell((await cluster.start({ timeoutMs: COMMAND_MS })).results),
      ),
  },
  restart: {
    description: '`mirabelle stop` (fast or immediate), then `mirabelle start`',
    weight: 1,
    strike: async ({ view, random }) => {
      const mode = random.chance(0.5) ? 'fast' : 'immediate'
      return command(view, `stop --mode ${mode}, start`, [-1, ...view.dataContents], async (cluster) => {
        await cluster.stop(mode)
        return tell((await cluster.start({ timeoutMs: COMMAND_MS })).results)
      })
    },
  },
} satisfies Record<string, Fault>

/** How long its primary goes on without it, ms: what is copied then is not what WAL brings. */
const AWAY_MS = [1_000, 6_000] as const
const MARKED_MS = 20_000

async function recoverByCopy(context: FaultContext): Promise<Struck | undefined> {
  const { view, random } = context
  const mode = random.chance(0.7) ? 'differential' : 'full'
  const awayMs = random.between(...AWAY_MS)
  const one = await oneRunning(context, ({ content, role }) => content >= 0 && role === 'm')
  if (one === undefined || !signal(one.pid, 'SIGKILL')) return undefined
  const { dbid, content } = one
  const struck = await command(view, `recover --mode ${mode} --dbid ${dbid}`, [content], async (cluster) => {
    await waitFor(
      `dbid ${dbid} to be marked down`,
      async () => (await cluster.state()).instances.some((row) => row.dbid === dbid && row.status === 'd'),
      MARKED_MS,
    )
    await pause(awayMs)
    return tell(await cluster.recover({ mode, dbids: [dbid], timeoutMs: COMMAND_MS }))
  })
  return { ...struck, what: `SIGKILL to ${nameOf(one)}; ${struck.what}`, isSurvived: true }
}

async function command(
  view: ClusterView,
  name: string,
  contents: readonly number[],
  work: (cluster: Cluster) => Promise<string>,
): Promise<Struck> {
  const cluster = await view.administrator()
  const running = work(cluster).catch((error: unknown) => `refused: ${(error as Error).message}`)
  return { what: `mirabelle ${name}`, contents, running }
}

function tell(results: readonly ActionResult[]): string {
  if (results.length === 0) return 'nothing to do'
  return results.map(({ dbid, outcome, message }) => `dbid ${dbid}: ${outcome}, ${message}`).join('; ')
}
