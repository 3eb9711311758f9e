import t from 'tap'
import { MirabelleError, type SegmentRow } from '@mirabelle/messages'
import { activateStandby } from '../src/cluster/activate-standby.ts'
import type { Cluster } from '../src/cluster/cluster.ts'
import type { ClusterFile } from '../src/folder/cluster-file.ts'
import { silentReporter } from '../src/terminal/reporter.ts'

/** A cluster whose standby refuses to be activated and says this of itself; resolves with what its description says then. */
async function refusedWhile(roleState: string, role: 'p' | 'm' = 'm'): Promise<Partial<ClusterFile>> {
  let file: Partial<ClusterFile> = { coordinatorDbid: 1, standbyDbid: 6, activatingDbid: null }
  const row = { dbid: 6, hostname: 'h2' } as SegmentRow
  const cluster = {
    folder: {
      get file() {
        return file
      },
      row: () => row,
      update: (changes: Partial<ClusterFile>) => {
        file = { ...file, ...changes }
        return Promise.resolve()
      },
    },
    control: {
      ask: (_endpoint: unknown, { type }: { type: string }) =>
        type === 'instance.status'
          ? Promise.resolve({ role, roleState })
          : Promise.reject(new MirabelleError('not.mirror', 'refused')),
    },
    clock: { monotonic: () => 0 },
    reporter: silentReporter,
  } as unknown as Cluster
  await t.rejects(activateStandby(cluster, false), { message: /was not activated: refused/ })
  return file
}

t.test('an activation that was refused is not completed by the next start', async (test) => {
  for (const roleState of ['mirror', 'copying', 'unfit'])
    test.match(await refusedWhile(roleState), { standbyDbid: 6, activatingDbid: null }, roleState)
})

t.test('one that may have begun is', async (test) => {
  test.match(await refusedWhile('promoting'), { activatingDbid: 6 })
  test.match(await refusedWhile('primary', 'p'), { activatingDbid: 6 })
})
