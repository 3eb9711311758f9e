/** Chooses the host of each mirror: group and spread mirroring. Pure; used by `init` and by `mirrors add`. */
import type { Content } from '@mirabelle/messages'
import { PlacementError, type Mirroring } from './placement.ts'

/** A primary and the host it runs on. */
export interface PlacedPrimary {
  readonly content: Content
  readonly hostname: string
}

/** The host of each content's mirror, and what the administrator should know about it. */
export interface MirrorHosts {
  readonly hostOf: ReadonlyMap<Content, string>
  readonly warnings: readonly string[]
}

/**
 * Group: all mirrors of host i go to host i+1. Spread: the mirrors of host i go to the hosts i+1, i+2, … one each. `hosts` are the segment hosts in
 * their order. A mirror never shares its primary's host unless `force` is set. Throws PlacementError when there are too few hosts.
 */
export function chooseMirrorHosts(
  primaries: readonly PlacedPrimary[],
  hosts: readonly string[],
  mirroring: 'group' | 'spread',
  force = false,
): MirrorHosts {
  const warnings: string[] = []
  const byHost = new Map(hosts.map((host) => [host, [] as PlacedPrimary[]]))
  for (const primary of [...primaries].sort((a, b) => a.content - b.content)) {
    const list = byHost.get(primary.hostname)
    if (list === undefined) {
      throw new PlacementError(
        `The primary of content ${primary.content} is on host ${primary.hostname}, which is not among the hosts.`,
      )
    }
    list.push(primary)
  }
  const most = Math.max(0, ...Array.from(byHost.values(), (list) => list.length))
  const complaint = tooFewHosts(mirroring, hosts.length, most)
  if (complaint !== undefined) {
    if (!force) throw new PlacementError(complaint)
    if (mirroring === 'spread' && hosts.length > 1) {
      warnings.push(`${complaint}. Some hosts carry several mirrors of one other host.`)
    }
  }

  const hostOf = new Map<Content, string>()
  hosts.forEach((host, i) => {
    byHost.get(host)?.forEach(({ content }, k) => {
      const others = hosts.length - 1
      const step = others === 0 ? 0 : mirroring === 'group' ? 1 : 1 + (k % others)
      const target = hosts[(i + step) % hosts.length] as string
      hostOf.set(content, target)
      if (target === host) {
        warnings.push(
          `The mirror of content ${content} is on the same host as its primary (${host}): if that host is lost, both copies are.`,
        )
      }
    })
  })
  return { hostOf, warnings }
}

/** Greenplum's words where the hosts are too few; undefined where they are enough. */
function tooFewHosts(
  mirroring: Exclude<Mirroring, 'none'>,
  hosts: number,
  mostPrimaries: number,
): string | undefined {
  if (mirroring === 'group') {
    return hosts >= 2 ? undefined : 'Not enough hosts for grouped mirroring.  You must have at least 2'
  }
  return hosts > mostPrimaries && hosts >= 2
    ? undefined
    : 'Not enough hosts for spread mirroring.  You must have more hosts than primary segments per host'
}
