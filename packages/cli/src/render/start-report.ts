/** What `mirabelle start` and `recover` print in the end. */
import type { ActionResult } from '@mirabelle/messages'
import type { Place } from '../cluster/places.ts'
import { columns, RULER, type Report } from './lines.ts'

/** Like gpstart's table. */
export function renderStart(results: readonly ActionResult[]): Report {
  const segments = results.filter(({ content }) => content >= 0)
  const count = (outcome: ActionResult['outcome']): number =>
    segments.filter((one) => one.outcome === outcome).length
  const [done, failed, skipped] = [count('done'), count('failed'), count('skipped')]
  const line = (name: string, number: number, bad: boolean): string =>
    `   ${name.padEnd(69)}= ${number}${bad ? '   <<<<<<<<' : ''}`
  const lines = [
    RULER,
    line('Successful segment starts', done, false),
    line('Failed segment starts', failed, failed > 0),
    line('Skipped segment starts (segments are marked down in configuration)', skipped, skipped > 0),
    RULER,
    `Successfully started ${done} of ${segments.length} segment instances${skipped > 0 ? `, skipped ${skipped} other segments` : ''}`,
    RULER,
    ...results
      .filter(({ outcome }) => outcome === 'failed')
      .map((one) => `   dbid ${one.dbid} (content ${one.content}): ${one.message}`),
  ]
  return { lines, exitStatus: results.some(({ outcome }) => outcome === 'failed') ? 1 : 0 }
}

/** A row per instance that was recovered. */
export function renderRecover(results: readonly ActionResult[], places: readonly Place[]): Report {
  const { failed, done } = counts(results)
  return {
    lines: [
      ...table(results, places),
      failed === 0
        ? `Segments successfully recovered: ${done} of ${results.length}`
        : `${failed} of ${results.length} segments could not be recovered; the others are up. Run "mirabelle state -e" and try again`,
    ],
    exitStatus: failed === 0 ? 0 : done > 0 ? 1 : 2,
  }
}

/** A row per pair that was not in its preferred roles. What was skipped is not done: the status says so. */
export function renderRebalance(results: readonly ActionResult[], places: readonly Place[]): Report {
  if (results.length === 0)
    return {
      lines: ['No segments are running in their non-preferred role and need to be rebalanced.'],
      exitStatus: 0,
    }
  const { done } = counts(results)
  const all = done === results.length
  return {
    lines: [
      ...table(results, places),
      all
        ? 'The rebalance operation has completed successfully.'
        : `The rebalance operation has completed with WARNINGS: ${done} of ${results.length} pairs are in their preferred roles. Run "mirabelle state -e", mend what it names and try again`,
    ],
    exitStatus: all ? 0 : done > 0 ? 1 : 2,
  }
}

/** A row per mirror that was made, moved or removed. */
export function renderMirrors(results: readonly ActionResult[], places: readonly Place[]): Report {
  return renderDone(results, places, 'Mirrors complete')
}

/** A row per instance of a host. */
export function renderHost(results: readonly ActionResult[], places: readonly Place[]): Report {
  return renderDone(results, places, 'Segments done')
}

function renderDone(results: readonly ActionResult[], places: readonly Place[], what: string): Report {
  const { done } = counts(results)
  const all = done === results.length
  return {
    lines: [
      ...table(results, places),
      `${what}: ${done} of ${results.length}${all ? '' : '; run "mirabelle state -e", mend what it names and run the same command again'}`,
    ],
    exitStatus: all ? 0 : done > 0 ? 1 : 2,
  }
}

function counts(results: readonly ActionResult[]): { readonly done: number; readonly failed: number } {
  const count = (outcome: ActionResult['outcome']): number =>
    results.filter((one) => one.outcome === outcome).length
  return { done: count('done'), failed: count('failed') }
}

function table(results: readonly ActionResult[], places: readonly Place[]): string[] {
  const where = (dbid: number): string => {
    const row = places.find((one) => one.dbid === dbid)
    return row === undefined ? '' : `${row.host}:${row.port}`
  }
  return [
    RULER,
    ...columns(
      ['Segment', 'Dbid', 'Content', 'Outcome', 'Message'],
      results.map((one) => [
        where(one.dbid),
        String(one.dbid),
        String(one.content),
        one.outcome,
        one.message,
      ]),
      (i) => results[i]?.outcome === 'failed',
    ),
    RULER,
  ]
}
