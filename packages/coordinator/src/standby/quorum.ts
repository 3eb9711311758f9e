/**
 * How many segment instances must hear of it before a coordinator goes on without its standby, and how many must promise a new epoch before a standby takes
 * over. Any two such groups share an instance: either it knew of the new epoch and refused the mark, or it knows of the mark and tells it. All instances
 * count, also those that are down, so that both sides count the same ones.
 */

/** Instances that must have recorded that the standby is behind. */
export function markQuorum(instances: number): number {
  return Math.max(1, Math.floor(instances / 2))
}

/** Instances that must have promised the epoch of an activation. */
export function promiseQuorum(instances: number): number {
  return instances === 0 ? 0 : instances - markQuorum(instances) + 1
}
