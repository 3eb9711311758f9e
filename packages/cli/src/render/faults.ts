/** `mirabelle fault`: the points there are, and how the faults stand that are set. */
import type { FaultRow } from '@mirabelle/messages'
import { columns } from './lines.ts'

export function renderFaultPoints(
  points: readonly { readonly name: string; readonly doc: string }[],
): string[] {
  return columns(
    ['Point', 'When a process gets there'],
    points.map(({ name, doc }) => [name, doc]),
  )
}

export function renderFaults(faults: readonly FaultRow[]): string[] {
  if (faults.length === 0) return ['No fault is set']
  return columns(
    ['Point', 'Action', 'Occurrences', 'State', 'Times hit', 'Suspended'],
    faults.map((row) => [
      row.content === null ? row.point : `${row.point} (content ${row.content})`,
      row.action,
      `${row.startOccurrence} - ${row.endOccurrence === -1 ? 'always' : row.endOccurrence}`,
      row.state,
      String(row.hits),
      String(row.suspended),
    ]),
  )
}
