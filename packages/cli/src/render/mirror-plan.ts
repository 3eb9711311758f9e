/** What `--dry-run` of the commands for mirrors prints: for each segment the way, the source, the target, the bytes. */
import type { MirrorStep } from '@mirabelle/messages'
import { megabytes } from '../cluster/copy-progress.ts'
import { columns, RULER, type Report } from './lines.ts'

const MODES = {
  auto: 'Decided at start',
  incremental: 'Incremental',
  differential: 'Differential',
  full: 'Full',
} as const

export function renderPlan(steps: readonly MirrorStep[]): Report {
  const blocked = steps.filter(({ obstacle }) => obstacle !== null)
  return {
    lines: [
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
      `Dry run: nothing was changed${blocked.length === 0 ? '' : `; ${blocked.length} of ${steps.length} could not be done now`}`,
    ],
    exitStatus: blocked.length === 0 ? 0 : blocked.length < steps.length ? 1 : 2,
  }
}

function inPlace({ kind, oldDbid }: MirrorStep): boolean {
  return kind !== 'add' && oldDbid === null
}
