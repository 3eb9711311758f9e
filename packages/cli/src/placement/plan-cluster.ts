/** Plans a cluster from its description: which instance runs on which host, port and folder, under which dbid. Pure. */
import { COORDINATOR_CONTENT, type Content, type Dbid, type Role, type SegmentRow } from '@mirabelle/messages'
import { chooseMirrorHosts, type PlacedPrimary } from './mirror-hosts.ts'
import { PlacementError, type ClusterDescription, type ClusterPlan, type PlacementHost } from './placement.ts'
import { PortBook } from './port-book.ts'

/** Contents that dbids of 15 bits allow when each has a mirror (Greenplum's limit). */
const MAX_SEGMENTS = 16_384

/**
 * The rows of gp_segment_configuration of a new cluster. Pairs begin in mode `n`: FTS records `s` when the mirrors have caught up. dbids as in Greenplum:
 * 1 is the coordinator, then primaries by content, mirrors by content, the standby. Throws PlacementError with what to change.
 */
export function planCluster(description: ClusterDescription): ClusterPlan {
  const { hosts, mirroring, force } = description
  const byName = checkedHosts(hosts)
  const segmentHosts = hosts.filter(({ segments }) => segments !== false)
  const primaries = placePrimaries(description, segmentHosts)
  const names = segmentHosts.map(({ name }) => name)
  const mirrors =
    mirroring === 'none'
      ? { hostOf: new Map<Content, string>(), warnings: [] }
      : chooseMirrorHosts(primaries, names, mirroring, force)
  const warnings = [...mirrors.warnings]

  const ports = new PortBook()
  for (const host of hosts) ports.reserve(host, host.agentPort, `The agent of host ${host.name}`)
  const coordinatorHost = hostNamed(byName, description.coordinatorHost ?? (hosts[0] as PlacementHost).name)
  const rows: SegmentRow[] = []
  const used = new Map<string, number>()

  function add(host: PlacementHost, content: Content, role: Role, sqlPort: number | null): void {
    const dbid: Dbid = rows.length + 1
    const clusterPort = ports.next(host, `dbid ${dbid}`)
    const turn = used.get(host.name) ?? 0
    used.set(host.name, turn + 1)
    const addresses = rotated(host.addresses, turn)
    rows.push({
      dbid,
      content,
      role,
      preferredRole: role,
      mode: content === COORDINATOR_CONTENT && role === 'm' ? 's' : 'n',
      status: 'u',
      port: sqlPort ?? clusterPort,
      hostname: host.name,
      address: addresses[0] as string,
      datadir: `${host.dataRoot.replace(/\/+$/, '')}/${folderOf(content, role)}`,
      endpoint: { addresses, port: clusterPort },
    })
  }

  const standbyHost =
    description.standbyHost === undefined ? null : hostNamed(byName, description.standbyHost)
  const coordinatorPort = ports.reserve(coordinatorHost, description.coordinatorPort, 'The coordinator')
  const standbyPort = standbyHost === null ? null : sqlPortOfStandby(ports, standbyHost, description)

  add(coordinatorHost, COORDINATOR_CONTENT, 'p', coordinatorPort)
  for (const { content, hostname } of primaries) add(hostNamed(byName, hostname), content, 'p', null)
  for (const { content } of primaries) {
    const target = mirrors.hostOf.get(content)
    if (target !== undefined) add(hostNamed(byName, target), content, 'm', null)
  }
  if (standbyHost !== null) {
    add(standbyHost, COORDINATOR_CONTENT, 'm', standbyPort)
    if (standbyHost === coordinatorHost) {
      warnings.push(
        `The standby coordinator is on the same host as the coordinator (${standbyHost.name}): if that host is lost, both are.`,
      )
    }
  }
  return {
    rows,
    hosts: hosts.map(({ name, addresses, agentPort }) => ({
      hostname: name,
      agent: { addresses, port: agentPort },
    })),
    warnings,
  }
}

/** Contents in blocks, host by host; the first hosts have one more where the total does not divide. */
function placePrimaries({ segments }: ClusterDescription, hosts: readonly PlacementHost[]): PlacedPrimary[] {
  if (hosts.length === 0) throw new PlacementError('No host carries segments.')
  const total = 'total' in segments ? segments.total : segments.perHost * hosts.length
  if (!Number.isInteger(total) || total < 1 || total > MAX_SEGMENTS) {
    throw new PlacementError(
      `The number of segments must be a whole number from 1 to ${MAX_SEGMENTS}, not ${total}.`,
    )
  }
  const least = Math.floor(total / hosts.length)
  const oneMore = total % hosts.length
  const primaries: PlacedPrimary[] = []
  hosts.forEach(({ name }, i) => {
    for (let k = 0; k < least + (i < oneMore ? 1 : 0); k += 1) {
      primaries.push({ content: primaries.length, hostname: name })
    }
  })
  return primaries
}

function sqlPortOfStandby(ports: PortBook, host: PlacementHost, description: ClusterDescription): number {
  const { standbyPort, coordinatorPort } = description
  return standbyPort === undefined
    ? ports.next(host, 'The standby coordinator', coordinatorPort)
    : ports.reserve(host, standbyPort, 'The standby coordinator')
}

function checkedHosts(hosts: readonly PlacementHost[]): Map<string, PlacementHost> {
  if (hosts.length === 0) throw new PlacementError('A cluster needs at least one host.')
  const byName = new Map<string, PlacementHost>()
  for (const host of hosts) {
    if (byName.has(host.name)) throw new PlacementError(`Host ${host.name} is named twice.`)
    if (host.addresses.length === 0) throw new PlacementError(`Host ${host.name} has no address.`)
    for (const other of byName.values()) {
      if (
        other.dataRoot === host.dataRoot &&
        other.addresses.some((address) => host.addresses.includes(address))
      ) {
        throw new PlacementError(
          `Hosts ${other.name} and ${host.name} are one machine and cannot have the same data directory '${host.dataRoot}'.`,
        )
      }
    }
    byName.set(host.name, host)
  }
  return byName
}

function hostNamed(hosts: ReadonlyMap<string, PlacementHost>, name: string): PlacementHost {
  const host = hosts.get(name)
  if (host === undefined) {
    throw new PlacementError(`There is no host ${name}; the hosts are ${[...hosts.keys()].join(', ')}.`)
  }
  return host
}

function folderOf(content: Content, role: Role): string {
  if (content === COORDINATOR_CONTENT) return role === 'p' ? 'coordinator' : 'standby'
  return `${role === 'p' ? 'primary' : 'mirror'}${content}`
}

/** The list beginning at another entry, so that the instances of a host spread over its networks. */
function rotated(list: readonly string[], by: number): string[] {
  const start = by % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}
