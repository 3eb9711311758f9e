/** How clients find the cluster. */
import type { ClusterFolder } from '../folder/cluster-folder.ts'

const SUPERUSER = 'postgres'
const DATABASE = 'postgres'

/** The acting coordinator alone. */
export function connectionString(folder: ClusterFolder): string {
  const row = folder.row(folder.file.coordinatorDbid)
  return `postgresql://${SUPERUSER}@${row.address}:${row.port}/${DATABASE}`
}

/** Coordinator and standby: libpq takes whichever accepts writes, so clients survive an activation. */
export function multiHostConnectionString(folder: ClusterFolder): string {
  const { file } = folder
  if (file.standbyDbid === null) return connectionString(folder)
  const hosts = [file.coordinatorDbid, file.standbyDbid].map((dbid) => folder.row(dbid))
  const list = hosts.map(({ address, port }) => `${address}:${port}`).join(',')
  return `postgresql://${SUPERUSER}@${list}/${DATABASE}?target_session_attrs=read-write`
}

export function howToConnect(folder: ClusterFolder): string[] {
  const row = folder.row(folder.file.coordinatorDbid)
  return [
    `Connect with: psql -h ${row.address} -p ${row.port} -U ${SUPERUSER} ${DATABASE}`,
    ...(folder.file.standbyDbid === null
      ? []
      : [`or, to find the coordinator after an activation too: psql "${multiHostConnectionString(folder)}"`]),
  ]
}
