/** What `--dry-run` of the commands for mirrors prints: for each segment the way, the source, the target, the bytes. */
import type { ActionResult, MirrorStep } from '@mirabelle/messages'
import { megabytes } from '../cluster/copy-progress.ts'
import { columns, RULER, type Report } from './lines.ts'

const MODES = {
  auto: 'Decided at start',
  incremental: 'Incremental',
  differential: 'Differential',
  full: 'Full',
} as const

/** `revivals`: what would be done before, or could not be, about contents that nobody serves. */
export function renderPlan(steps: readonly MirrorStep[], revivals: readonly ActionResult[] = []): Report {
  const revived = new Set(
    revivals.filter(({ outcome }) => outcome !== 'failed').map(({ content }) => content),
  )
  const blocked = steps.filter(({ obstacle }) => obstacle !== null)
  // What waits for its primary can be done when that is back.
  const failed = [
    ...revivals.filter(({ outcome }) => outcome === 'failed'),
    ...blocked.filter(({ content }) => !revived.has(content)),
  ]
  const all = revivals.length + steps.length
  return {
    lines: [
      ...revivals.map(({ content, dbid, message }) => `Content ${content}: dbid ${dbid}: ${message}`),
      RULER,
      ...columns(
        ['Content', 'Dbid', 'Synchronization mode', 'Recovery source', 'Recovery target', 'Directory', 'MB'],
        steps.map((step) => [
          String(step.content),
          step.row.dbid === 0 ? '' : String(step.row.dbid),
          MODES[step.mode],
          step.source === null ? '' : `${step.source.hostname}:${step.source.port}`,
          `${step.row.hostname}:${step.row.port}${inPlace(step) ? ' in-place' : step.begun ? ' (begun)' : ''}`,
          step.row.datadir,
          step.bytes === null
            ? 'Unknown'
            : `${step.mode === 'differential' ? 'at most ' : ''}${megabytes(step.bytes)}`,
        ]),
        (i) => steps[i]?.obstacle !== null,
      ),
      RULER,
      ...steps.flatMap((step) => (step.warning === null ? [] : [`Warning: ${step.warning}`])),
      ...blocked.map((step) => `Content ${step.content}: ${step.obstacle ?? ''}`),
      `Dry run: nothing was changed${failed.length === 0 ? '' : `; ${failed.length} of ${all} could not be done now`}`,
    ],
    exitStatus: failed.length === 0 ? 0 : failed.length < all ? 1 : 2,
  }
}

function inPlace({ kind, oldDbid }: MirrorStep): boolean {
  return kind !== 'add' && oldDbid === null
}
