/**
 * Ends the prepared transactions that a backend holds when its lane is attached, before anything else may run there (I6).
 * What is settled so is told to the registry. Started by the lane keeper; ends when none is left, or with an error that keeps the lane closed.
 */
import { MirabelleError, type Content, type Gid } from '@mirabelle/messages'
import { faults, type Logger } from '@mirabelle/runtime'
import { firstColumn, firstErrorCode } from '../lanes/backend-bytes.ts'
import type { LaneItem, LaneResult } from '../lanes/lane-item.ts'
import { ownItem } from '../lanes/own-item.ts'
import { participantsOf } from './gid.ts'
import type { DtxRegistry } from './registry.ts'

const PREPARED_SQL = "SELECT gid FROM pg_prepared_xact() WHERE gid LIKE 'mb\\_%' ORDER BY prepared"

export type RawRun = (item: LaneItem) => Promise<LaneResult>

async function runSql(run: RawRun, content: Content, sql: string, write: boolean): Promise<LaneResult> {
  const result = await run(ownItem(sql, write))
  const code = firstErrorCode(result.output)
  if (code !== undefined) {
    throw new MirabelleError(
      'not.ready',
      `content ${content}: resolving prepared transactions failed with SQLSTATE ${code}: ${sql.slice(0, 80)}`,
    )
  }
  return result
}

export async function resolvePrepared(
  content: Content,
  run: RawRun,
  registry: DtxRegistry,
  log: Logger,
): Promise<void> {
  if (faults !== undefined) await faults.at('resolution.begin', { content })
  // Both at once; and the function, not the view on it: a promotion is waiting, and planning the view's joins costs more than all else here.
  const [listed, finished] = await Promise.all([
    runSql(run, content, PREPARED_SQL, false),
    runSql(run, content, 'SELECT gid FROM pg_catalog.dtx_committed', false),
  ])
  const prepared = new Set(firstColumn(listed.output))
  const committed = new Set<Gid>(firstColumn(finished.output))
  if (faults !== undefined) await faults.at('resolution.listed', { content })
  registry.publish(content, { prepared, committed })
  for (const gid of prepared) {
    const participants = participantsOf(gid)
    if (participants === undefined)
      throw new MirabelleError(
        'internal',
        `content ${content}: prepared transaction ${gid} has a name that says nothing`,
      )
    const verdict = await registry.verdict(gid, content, participants)
    if (faults !== undefined) await faults.at('resolution.verdict', { content })
    log.info({ content, gid, verdict }, `prepared transaction resolved: ${verdict}`)
    await runSql(run, content, `${verdict === 'commit' ? 'COMMIT' : 'ROLLBACK'} PREPARED '${gid}'`, true)
    if (faults !== undefined) await faults.at('resolution.ended', { content })
    // Its row is there from now on.
    if (verdict === 'commit') committed.add(gid)
  }
  if (faults !== undefined) await faults.at('resolution.end', { content })
  registry.attached(content)
}
