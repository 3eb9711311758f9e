/**
 * Puts a complete copy in the place of a mirror (or of none): one change of the catalog, with FTS kept off the content.
 *
 * The order, and who repairs when the coordinator dies right after it:
 * 1. The catalog has the new row, `m`,`n`,`d`, and not the old one any more. FTS asks the primary for the mirror by its dbid: the primary knows only the old
 *    one and says nothing good of it, so that nobody takes the old mirror's being in sync for the new one's (I2). `mirabelle recover` goes on.
 * 2. The primary stops waiting for its mirror and learns who the new one is; the old one gets no WAL any more. FTS finds the new mirror in sync when it is.
 */
import { MirabelleError, type MirrorStep, type SegmentRow } from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import type { Mirroring } from '../../catalog/cluster-catalog.ts'
import { assignmentFor } from '../assignments.ts'
import type { MirrorSources } from './mirror-sources.ts'

const SEND_TIMEOUT_MS = 5_000

/** Resolves when the primary has been told. Rejects before anything is changed, or with what the primary did not take. */
export async function switchMirror(
  step: MirrorStep,
  mirroring: Exclude<Mirroring, 'none'> | null,
  sources: MirrorSources,
): Promise<void> {
  const { topology, fts } = sources
  const { row, content, oldDbid } = step
  const unhold = (await fts()?.hold(content)) ?? (() => undefined)
  try {
    const primary = topology.primary(content)
    const old = topology.mirror(content)
    if (primary?.status !== 'u') throw notNow(content, 'its primary is down')
    if ((old?.dbid ?? null) !== oldDbid) throw notNow(content, 'its roles have changed')
    if (faults !== undefined) await faults.at('mirrors.switch.held', { content })
    await topology.change({
      ...(oldDbid === null ? {} : { removeDbids: [oldDbid] }),
      ...(mirroring === null || topology.mirroring === mirroring ? {} : { mirroring }),
      replaceRows: [{ ...row, role: 'm', mode: 'n', status: 'd' }],
      rows: [{ dbid: primary.dbid, role: 'p', mode: 'n', status: 'u' }],
      history: [
        {
          dbid: row.dbid,
          description: `${step.kind}: dbid ${row.dbid} on ${row.hostname}:${row.port} is the mirror of contentid ${content}${oldDbid === null ? '' : `, dbid ${oldDbid} was removed`}`,
        },
      ],
    })
    if (faults !== undefined) await faults.at('mirrors.switch.recorded', { content })
    await tellPrimary(topology.row(primary.dbid) as SegmentRow, sources)
    if (faults !== undefined) await faults.at('mirrors.switch.told', { content })
  } finally {
    unhold()
    sources.rowsChanged()
  }
}

/** The primary stops waiting for the mirror that it had, and learns which one it has now. */
export async function tellPrimary(primary: SegmentRow, { topology, links }: MirrorSources): Promise<void> {
  await links.syncRepOff(primary, SEND_TIMEOUT_MS)
  if (faults !== undefined) await faults.at('mirrors.switch.sync-rep-off', { content: primary.content })
  await links
    .instance(primary)
    .request({ type: 'instance.assign', assignment: assignmentFor(topology, primary, 'p') }, SEND_TIMEOUT_MS)
}

function notNow(content: number, why: string): MirabelleError {
  return new MirabelleError(
    'not.ready',
    `the mirror of content ${content} cannot be replaced now, ${why}: run "mirabelle state -e", mend it and run this again`,
  )
}
