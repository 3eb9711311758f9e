/** `mirabelle state -p`: where everything listens. */
import type { ClusterState } from '@mirabelle/messages'
import { columns, type Report } from './lines.ts'
import { coordinatorOf, segmentsOf, standbyOf } from './words.ts'

const RULER = '-'.repeat(35)

export function renderPorts(state: ClusterState): Report {
  const line = (name: string, row: { readonly datadir: string; readonly port: number } | undefined) =>
    row === undefined ? [] : [`${name} instance  ${row.datadir}  port = ${row.port}`]
  return {
    lines: [
      ...line('Coordinator', coordinatorOf(state)),
      ...line('Standby coordinator', standbyOf(state)),
      'Segment instance port assignments',
      RULER,
      ...columns(
        ['Host', 'Datadir', 'Port'],
        segmentsOf(state).map((row) => [row.host, row.datadir, String(row.port)]),
      ),
    ],
    exitStatus: 0,
  }
}
