/** Faults of the network between hosts: only where hosts are network namespaces. All of them end with the round. */
import { pause } from '../../cluster/wait-for.ts'
import type { HostNetwork } from '../../netns/host-network.ts'
import type { SimRandom } from '../../sim/sim-random.ts'
import type { ClusterView, Seen } from './cluster-view.ts'
import { activation } from './coordinator-faults.ts'
import type { Fault, FaultContext, Struck } from './fault.ts'
import { isRunning } from './signals.ts'

/** How often a flapping host is cut off, and how long it is in either state, ms. */
const FLAPS = [4, 12] as const
const FLAP_MS = [50, 1_500] as const

export const networkFaults = {
  'cut-host': {
    description: 'a host is cut off from everybody: in silence, or with its interfaces down',
    weight: 4,
    needsNetwork: true,
    strike: onNetwork(async (network, { view, random }) => {
      const host = random.pick(hostsOf(view))
      const kind = random.chance(0.7) ? 'silent' : 'down'
      await network.cutOff(host, kind)
      const isSurvived = view.isSpare(host)
      return { ...cut(network, view, `${host} is cut off (${kind})`, [host]), isSurvived }
    }),
  },
  'cut-one-way': {
    description: 'nothing that one host sends reaches another one; the other direction stays',
    weight: 3,
    needsNetwork: true,
    strike: onNetwork(async (network, { view, random }) => {
      const [from, to] = pair(view, random)
      await network.cutOneWay(from, to)
      return cut(network, view, `what ${from} sends does not reach ${to}`, [from, to])
    }),
  },
  'cut-coordinator': {
    description: 'nothing passes between the host of the coordinator and one other host; clients reach both',
    weight: 3,
    needsNetwork: true,
    strike: onNetwork(async (network, { view, random }) => {
      const host = await hostOfCoordinator(view)
      const other = random.pick(hostsOf(view).filter((one) => one !== host))
      await network.cut(host, other)
      return cut(network, view, `${host}, where the coordinator is, and ${other} are cut apart`, [other])
    }),
  },
  'cut-flapping': {
    description: 'a host is cut off and connected again several times within seconds',
    weight: 2,
    needsNetwork: true,
    strike: onNetwork(async (network, { view, random }) => {
      const host = random.pick(hostsOf(view))
      const times = Math.floor(random.between(...FLAPS))
      await network.cutOff(host)
      const struck = cut(network, view, `${host} is cut off and connected ${times} times`, [host])
      return { ...struck, running: flap(network, host, times, random.fork()) }
    }),
  },
  'cut-network': {
    description: 'one of the two networks of a host is dead: its connections are made again on the other',
    weight: 2,
    needsNetwork: true,
    strike: onNetwork(async (network, { view, random }) => {
      const host = random.pick(hostsOf(view))
      const number = random.below(2)
      await network.cutOff(host, 'silent', number)
      return { ...cut(network, view, `network ${number} of ${host} is dead`, [host]), isSurvived: true }
    }),
  },
  'replace-cut-coordinator': {
    description:
      'the coordinator is cut off from the other hosts, not from clients; activation of its standby',
    weight: 3,
    needsNetwork: true,
    strike: onNetwork(async (network, { view }) => {
      const host = await hostOfCoordinator(view)
      const standby = view.seen.find((one) => one.content === -1 && one.role === 'm')
      if (standby === undefined || !isRunning(standby)) return undefined
      for (const other of hostsOf(view)) if (other !== host) await network.cut(host, other)
      const struck = cut(
        network,
        view,
        `${host}, where the coordinator is, is cut off from the other hosts; activation of the standby`,
        hostsOf(view),
      )
      return { ...struck, ...activation(view) }
    }),
  },
} satisfies Record<string, Fault>

/** Done where there is a network, and nothing elsewhere. */
function onNetwork(
  work: (network: HostNetwork, context: FaultContext) => Promise<Struck | undefined>,
): Fault['strike'] {
  return async (context) => {
    const { network } = context.view
    if (network === undefined) return undefined
    await context.view.look()
    return work(network, context)
  }
}

/** Everything is whole again at the end of the round, also what other faults of the round have cut. */
function cut(network: HostNetwork, view: ClusterView, what: string, hosts: readonly string[]): Struck {
  return { what, contents: contentsOn(view, hosts), release: () => network.heal() }
}

async function flap(network: HostNetwork, host: string, times: number, random: SimRandom): Promise<string> {
  for (let i = 0; i < times; i += 1) {
    await network.cutOff(host)
    await pause(random.between(...FLAP_MS))
    await network.heal()
    await pause(random.between(...FLAP_MS))
  }
  return 'connected again'
}

const hostsOf = (view: ClusterView): string[] => [...new Set(view.seen.map(({ host }) => host))].sort()

function pair(view: ClusterView, random: SimRandom): [string, string] {
  const hosts = hostsOf(view)
  const from = random.pick(hosts)
  return [from, random.pick(hosts.filter((host) => host !== from))]
}

async function hostOfCoordinator(view: ClusterView): Promise<string> {
  const isCoordinator = ({ content, role }: Seen): boolean => content === -1 && role === 'p'
  const found = (await view.look()).find(isCoordinator)
  if (found === undefined) throw new Error('the cluster has no coordinator')
  return found.host
}

/** Whatever has an instance there; all when the coordinator has. */
function contentsOn({ seen }: ClusterView, hosts: readonly string[]): number[] {
  const there = seen.filter(({ host }) => hosts.includes(host))
  const hasCoordinator = there.some(({ content, role }) => content === -1 && role === 'p')
  const contents = (hasCoordinator ? seen : there).map(({ content }) => content)
  return [...new Set(contents)].sort((a, b) => a - b)
}
