/** The primary that a mirror is recovered from. One that a failover has just named still starts, or is being promoted: whoever recovers waits for that. */
import type { MessageOf, SegmentRow } from '@mirabelle/messages'
import { delay } from '@mirabelle/runtime'
import { sentence, type AdminSources } from './admin-sources.ts'

const STATUS_TIMEOUT_MS = 1_500
/** How long it may take until it is primary, ms: it may have much to replay. */
const PROMOTION_MS = 30_000
const LOOK_EVERY_MS = 50

type Status = MessageOf<'instance.statusIs'>

/** In these it still calls itself a mirror; FTS has it promoted. */
const ON_ITS_WAY: ReadonlySet<Status['roleState']> = new Set(['starting', 'mirror'])

/** What it says of itself when WAL and files can be had from it; else a sentence that says why not. Never rejects. */
export async function recoverySource(
  primary: SegmentRow,
  { links, topology, clock }: AdminSources,
): Promise<Status | string> {
  const { dbid, content, hostname } = primary
  if (primary.status !== 'u') return `Primary segment is not up for content ${content}`
  const deadline = clock.monotonic() + PROMOTION_MS
  for (;;) {
    let status: Status
    try {
      status = await links.instance(primary).request({ type: 'instance.status' }, STATUS_TIMEOUT_MS)
    } catch (error) {
      return `The recovery source segment ${hostname} (content ${content}) is unreachable: ${sentence(error)}`
    }
    if (status.role === 'p') return status
    const mayCome = topology.primary(content)?.dbid === dbid && clock.monotonic() < deadline
    if (!mayCome || !ON_ITS_WAY.has(status.roleState))
      return `Segment to recover from for content ${content} is not a primary`
    await delay(clock, LOOK_EVERY_MS)
  }
}
