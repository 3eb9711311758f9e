/** The statements that bring rows of contents into a temporary table of the coordinator; every gathered plan is made of them. */
import type { GatherStep } from './plan.ts'

/** Name of the temporary table of a step; they are counted from 1. */
export function temporaryTable(index: number): string {
  return `pg_temp.${temporaryName(index)}`
}

function temporaryName(index: number): string {
  return `mirabelle_gather_${index}`
}

/** `like`: a SELECT with the columns of the table; `rows`: what the contents answer; `andThen`: what else the empty table needs. */
export function gatherStep(
  index: number,
  {
    like,
    rows,
    andThen,
    ...from
  }: Pick<GatherStep, 'table' | 'from'> & {
    readonly like: string
    readonly rows: string
    readonly andThen?: string
  },
): GatherStep {
  // The texts may end in a comment.
  const created = `CREATE TEMPORARY TABLE ${temporaryName(index)} ON COMMIT DROP AS ${like}\nWITH NO DATA`
  return {
    ...from,
    createSql: andThen === undefined ? created : `${created}; ${andThen}`,
    copyOutSql: `COPY (${rows}\n) TO STDOUT`,
    copyInSql: `COPY ${temporaryTable(index)} FROM STDIN`,
  }
}
