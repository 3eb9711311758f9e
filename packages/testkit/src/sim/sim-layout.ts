/** Which instances a simulated cluster has, on which hosts, and what lies on their disks before the first start. */
import type { ClusterSnapshot } from '@mirabelle/coordinator/ha'
import { DATADIR_FORMAT, identityFile, pgdataDir, pgWalDir } from '@mirabelle/instance'
import type { SegmentRow } from '@mirabelle/messages'
import { encodeWalRecords } from '@mirabelle/wal'
import { encodeKv, type KvRecord } from './kv-store.ts'
import { CATALOG_KEY } from './sim-catalog-store.ts'
import type { SimHost } from './sim-host.ts'
import type { SimRandom } from './sim-random.ts'
import { firstSegment } from './sim-wal.ts'

export const CLUSTER_ID = 'simulation'
export const AGENT_PORT = 7000
const FIRST_PORT = 6000

export interface SimLayout {
  readonly hosts: readonly string[]
  readonly contents: number
  readonly standby: boolean
  readonly settings: Readonly<Record<string, string>>
}

/** One coordinator, its standby, two contents with mirrors on each other's hosts. */
export const defaultLayout: SimLayout = {
  hosts: ['mdw', 'smdw', 'sdw1', 'sdw2'],
  contents: 2,
  standby: true,
  settings: {},
}

/** One pair: whoever needs most of the segments needs both. */
const smallLayout: SimLayout = { ...defaultLayout, contents: 1 }

/** Three pairs on three hosts: a host that is cut off with the coordinator is none that the others need. */
const wideLayout: SimLayout = {
  ...defaultLayout,
  hosts: ['mdw', 'smdw', 'sdw1', 'sdw2', 'sdw3'],
  contents: 3,
}

/** Most clusters are of the default layout. */
export function drawLayout(random: SimRandom): SimLayout {
  const drawn = random.next()
  if (drawn < 0.15) return smallLayout
  return drawn < 0.35 ? wideLayout : defaultLayout
}

export function initialCatalog(layout: SimLayout): ClusterSnapshot {
  const [coordinatorHost, standbyHost, ...segmentHosts] = layout.hosts as [string, string, ...string[]]
  const rows: SegmentRow[] = []
  const add = (content: number, role: 'p' | 'm', host: string): void => {
    const dbid = rows.length + 1
    const port = FIRST_PORT + dbid
    rows.push({
      dbid,
      content,
      role,
      preferredRole: role,
      // A new pair is in sync when FTS has seen that it is.
      mode: 'n',
      status: 'u',
      port,
      hostname: host,
      address: host,
      datadir: `/data/gpseg${content}-${dbid}`,
      endpoint: { addresses: [host], port },
    })
  }
  add(-1, 'p', coordinatorHost)
  const at = (i: number): string => segmentHosts[i % segmentHosts.length] as string
  for (let content = 0; content < layout.contents; content++) add(content, 'p', at(content))
  for (let content = 0; content < layout.contents; content++) add(content, 'm', at(content + 1))
  if (layout.standby) add(-1, 'm', standbyHost)
  return {
    clusterId: CLUSTER_ID,
    epoch: 1,
    mirroring: 'spread',
    rows,
    hosts: layout.hosts.map((hostname) => ({ hostname, agent: { addresses: [hostname], port: AGENT_PORT } })),
    settings: layout.settings,
  }
}

/** Lays out the folder of an instance; both of a pair get the same database. */
export function layOut(host: SimHost, row: SegmentRow, catalog: ClusterSnapshot): void {
  const systemIdentifier = BigInt(7_000_000 + row.content)
  const control = new Uint8Array(8)
  new DataView(control.buffer).setBigUint64(0, systemIdentifier, true)
  const records: KvRecord[] = [{ t: 'checkpoint' }]
  if (row.content === -1)
    records.push(
      { t: 'change', x: 1, change: { op: 'put', key: CATALOG_KEY, value: JSON.stringify(catalog) } },
      { t: 'commit', x: 1 },
    )
  const { name, bytes } = firstSegment(systemIdentifier, (position) =>
    encodeWalRecords(
      position,
      records.map((record) => ({ payload: encodeKv(record) })),
    ),
  )
  const identity = {
    formatVersion: DATADIR_FORMAT,
    clusterId: catalog.clusterId,
    content: row.content,
    dbid: row.dbid,
    createdAt: 0,
  }
  const { files } = host
  files.place(identityFile(row.datadir), new TextEncoder().encode(JSON.stringify(identity)))
  files.place(`${pgdataDir(row.datadir)}/global/pg_control`, control)
  files.place(`${pgWalDir(row.datadir)}/${name}`, bytes)
}
