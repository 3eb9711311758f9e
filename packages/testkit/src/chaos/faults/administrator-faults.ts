/** Commands of an administrator, given at any time: in the middle of failures, too. They may be refused; they may not do harm. */
import type { Cluster } from 'mirabelle'
import type { ActionResult } from '@mirabelle/messages'
import type { ClusterView } from './cluster-view.ts'
import type { Fault, Struck } from './fault.ts'

const COMMAND_MS = 60_000

export const administratorFaults = {
  recover: {
    description: '`mirabelle recover`',
    weight: 3,
    strike: ({ view }) =>
      command(view, 'recover', [], async (cluster) => tell(await cluster.recover({ timeoutMs: COMMAND_MS }))),
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
