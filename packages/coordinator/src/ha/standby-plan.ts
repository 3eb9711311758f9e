/** Where a new standby coordinator would be: host, dbid, ports, folder. Pure questions; nothing is changed. */
import { COORDINATOR_CONTENT, MirabelleError, type MessageOf, type SegmentRow } from '@mirabelle/messages'
import { sentence, type AdminSources } from './cluster-admin.ts'

const AGENT_TIMEOUT_MS = 5_000
const MAX_DBID = 32_767

const place = (row: SegmentRow): string => `${row.hostname}:${row.port}`

/** Where a new standby would be. Refuses when one is configured, and a host that is the coordinator's own while there are others. */
export async function planStandby(
  request: MessageOf<'standby.plan'>,
  sources: AdminSources,
): Promise<MessageOf<'standby.planned'>> {
  const { topology } = sources
  const configured = topology.mirror(COORDINATOR_CONTENT)
  if (configured !== undefined) {
    refuseComplete(configured)
    const other =
      (request.host !== null && request.host !== configured.hostname) ||
      (request.port !== null && request.port !== configured.port) ||
      (request.datadir !== null && request.datadir !== configured.datadir)
    if (other)
      throw refusal(
        `the making of a standby coordinator on ${place(configured)}, folder ${configured.datadir}, has begun: run "mirabelle standby init" without options to complete it, or "mirabelle standby remove" first`,
      )
    return { type: 'standby.planned', row: configured, begun: true }
  }
  const { hostname, instances } = await chooseHost(request, sources)
  const dbid =
    1 +
    Math.max(
      request.aboveDbid,
      topology.lastDbid,
      ...topology.rows().map((row) => row.dbid),
      ...instances.map((one) => one.dbid),
    )
  if (dbid > MAX_DBID)
    throw refusal(`there is no dbid left for a standby coordinator (${MAX_DBID} is the highest)`)
  const before = request.before.find((one) => one.hostname === hostname)
  const offer = await sources.links.agent(hostname).request(
    {
      type: 'agent.offerPlace',
      folder: `coordinator${dbid}`,
      datadir: request.datadir,
      ports: [request.port ?? before?.sqlPort ?? null, before?.port ?? null],
    },
    AGENT_TIMEOUT_MS,
  )
  const [port, clusterPort] = offer.ports
  const addresses = topology.host(hostname)?.agent.addresses ?? []
  if (request.port !== null && port !== request.port)
    throw refusal(`port ${request.port} on host ${hostname} is in use: choose another one`)
  if (port === undefined || clusterPort === undefined || addresses[0] === undefined)
    throw refusal(`the agent of ${hostname} offers no ports for a standby coordinator`)
  const row: SegmentRow = {
    dbid,
    content: COORDINATOR_CONTENT,
    role: 'm',
    preferredRole: 'm',
    mode: 'n',
    status: 'd',
    port,
    hostname,
    address: addresses[0],
    datadir: offer.datadir,
    endpoint: { addresses, port: clusterPort },
  }
  return { type: 'standby.planned', row, begun: false }
}

/** What cannot be done now, with what to do instead. */
export function refusal(message: string): MirabelleError {
  return new MirabelleError('not.ready', message)
}

/** Throws when the standby is there and complete. */
export function refuseComplete(row: SegmentRow): void {
  if (row.status !== 'u') return
  throw refusal(
    `standby coordinator already configured: dbid ${row.dbid} on ${place(row)}; "mirabelle standby resync" brings it back, "mirabelle standby remove" does away with it`,
  )
}

/** The host that was asked for; else the first that answers, those that had an instance of content -1 before the others. */
async function chooseHost(
  { host, before }: MessageOf<'standby.plan'>,
  { topology, links, ownDbid }: AdminSources,
): Promise<{ hostname: string; instances: MessageOf<'agent.statusIs'>['instances'] }> {
  const own = topology.row(ownDbid)?.hostname
  const all = topology.hosts.map(({ hostname }) => hostname)
  if (host !== null && !all.includes(host))
    throw refusal(`there is no host ${host}; the hosts are ${all.join(', ')}`)
  if (host !== null && host === own && all.length > 1)
    throw refusal(
      `the standby coordinator cannot be on ${host}, the host of the coordinator: choose another host`,
    )
  const rank = (name: string): number => {
    const at = before.findIndex((one) => one.hostname === name)
    return at < 0 ? before.length : at
  }
  const others = all.filter((name) => name !== own).sort((a, b) => rank(a) - rank(b))
  const candidates = host !== null ? [host] : others.length > 0 ? others : all
  const silent: string[] = []
  for (const hostname of candidates) {
    try {
      const { instances } = await links.agent(hostname).request({ type: 'agent.status' }, AGENT_TIMEOUT_MS)
      return { hostname, instances }
    } catch (error) {
      silent.push(`${hostname}: ${sentence(error)}`)
    }
  }
  throw refusal(`no host for the standby coordinator answers (${silent.join('; ')})`)
}
