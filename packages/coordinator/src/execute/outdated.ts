/**
 * A plan holds for the schema that it was made with. Whoever holds a lane keeps schema changes out, which need all of them; but until a statement holds its lanes, others
 * may change what it is about: while it waits for a segment that fails over it holds none. So each looks once more when it has them. Rows would otherwise go
 * where the table that is now there does not look for them.
 */
import type { Scope } from './scope.ts'

/** The schema has changed since the statement was planned. Nothing has run or been told: it is planned again (session/run-statement.ts). */
export class PlanOutdated extends Error {
  constructor() {
    super('the schema has changed since the statement was planned')
  }
}

/** Called by whoever has just come to hold its first lanes, or is about to enter the only one. */
export function throwIfOutdated({ planVersion, services }: Pick<Scope, 'planVersion' | 'services'>): void {
  if (services.schema.snapshot.version !== planVersion) throw new PlanOutdated()
}
