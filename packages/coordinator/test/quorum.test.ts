import t from 'tap'
import { markQuorum, promiseQuorum } from '../src/standby/quorum.ts'

void t.test(
  'whoever records that the standby is behind and whoever promises a new epoch share an instance',
  (t) => {
    for (let instances = 1; instances <= 40; instances++) {
      const mark = markQuorum(instances)
      const promise = promiseQuorum(instances)
      t.ok(mark + promise > instances, `${instances}: ${mark} and ${promise}`)
      t.ok(mark >= 1 && promise <= instances, 'both can be reached')
    }
    t.end()
  },
)

void t.test(
  'with two mirrored contents half of the instances suffice to go on without the standby, three to take over',
  (t) => {
    t.equal(markQuorum(4), 2)
    t.equal(promiseQuorum(4), 3)
    t.equal(promiseQuorum(0), 0)
    t.end()
  },
)
