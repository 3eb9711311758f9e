/** Deletes WAL of ex-primaries that was put aside: only that of instances which are in sync again, because theirs is in no way needed any more. */
import type { ActionResult } from '@mirabelle/messages'
import { sentenceOf } from '../errors.ts'
import { askAgent } from './agents.ts'
import type { Cluster } from './cluster.ts'
import { megabytes } from './copy-progress.ts'
import { readCatalog } from './mirror-admin.ts'

const DISCARD_MS = 60_000

export async function discardDiverged(
  cluster: Cluster,
  only: readonly number[] | null,
): Promise<readonly ActionResult[]> {
  const { rows } = await readCatalog(cluster)
  const wanted = rows.filter(({ content, dbid }) => content >= 0 && (only === null || only.includes(dbid)))
  const results = await Promise.all(
    wanted.map(async ({ dbid, content, hostname, status, mode }): Promise<ActionResult> => {
      if (status !== 'u' || mode !== 's')
        return { dbid, content, outcome: 'skipped', message: 'not in sync: what was put aside is kept' }
      try {
        const host = cluster.folder.host(hostname)
        const { bytes } = await askAgent(cluster, host, { type: 'agent.discardDiverged', dbid }, DISCARD_MS)
        return { dbid, content, outcome: 'done', message: `${megabytes(bytes)} MB of diverged WAL deleted` }
      } catch (error) {
        return { dbid, content, outcome: 'failed', message: sentenceOf(error) }
      }
    }),
  )
  return results.filter(({ outcome, message }) => outcome !== 'done' || !message.startsWith('0.0 MB'))
}
