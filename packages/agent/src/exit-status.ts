/** How the process of an instance ends, for the agent that watches it. */
import { isDiskFull } from '@mirabelle/messages'

/** Its disk is full: it may not have been able to say so in its log. */
export const DISK_FULL_STATUS = 53
const FAILED_STATUS = 1

/** The status of an instance that ends because of this error. */
export function exitStatusOf(error: unknown): number {
  return isDiskFull(error) ? DISK_FULL_STATUS : FAILED_STATUS
}
