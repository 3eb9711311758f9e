/** `mirabelle state -i`: which software each instance runs. */
import type { ClusterState } from '@mirabelle/messages'
import { columns, type Report } from './lines.ts'

export function renderVersions(state: ClusterState): Report {
  const rows = [...state.instances].sort((a, b) => a.content - b.content || a.dbid - b.dbid)
  const versions = new Set(rows.flatMap(({ version }) => version ?? []))
  const silent = rows.filter(({ version }) => version === null).length
  const differs = (i: number): boolean => {
    const version = rows[i]?.version ?? null
    return version === null || version !== state.cluster.version
  }
  return {
    lines: [
      'Loading version information',
      ...columns(
        ['Host', 'Datadir', 'Port', 'Version'],
        rows.map(({ host, datadir, port, version }) => [
          host,
          datadir,
          String(port),
          version === null ? 'unable to retrieve version' : `Mirabelle ${version}`,
        ]),
        differs,
      ),
      ...(versions.size > 1 ? ['Not all segments are running the same software version'] : []),
      ...(silent > 0 ? [`The version of ${silent} instance(s) could not be determined`] : []),
      ...(versions.size <= 1 && silent === 0 ? ['All segments are running the same software version'] : []),
    ],
    exitStatus: versions.size > 1 || silent > 0 ? 1 : 0,
  }
}
