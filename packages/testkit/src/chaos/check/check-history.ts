/** All checkers over one history. Pure. */
import { workloadNames, type Op, type WorkloadName } from '../history/op.ts'
import type { Verdict } from './anomaly.ts'
import { checkBank, type BankRules } from './bank.ts'
import { checkListAppend } from './list-append.ts'
import { checkRegister } from './register.ts'
import { checkRemade } from './remade.ts'
import { checkSchema } from './schema.ts'
import { checkSet } from './set.ts'

/** The verdicts about the workloads that the history has. */
export function checkHistory(ops: readonly Op[], bank: BankRules): Verdict[] {
  const there = new Set(ops.map(({ workload }) => workload))
  return workloadNames.filter((name) => there.has(name)).map((name) => check(name, ops, bank))
}

function check(name: WorkloadName, ops: readonly Op[], bank: BankRules): Verdict {
  switch (name) {
    case 'append':
      return checkListAppend(ops)
    case 'register':
      return checkRegister(ops)
    case 'bank':
      return checkBank(ops, bank)
    case 'set':
      return checkSet(ops)
    case 'schema':
      return checkSchema(ops)
    case 'remade':
      return checkRemade(ops)
  }
}
