import t from 'tap'
import { createProgram } from '../src/program.ts'

t.test('only the command that is asked for is loaded; help has all of them in their order', async (t) => {
  const all = (await createProgram()).commands.map((one) => one.name())
  t.same(all.slice(0, 4), ['init', 'start', 'state', 'recover'])
  for (const name of all)
    t.same(
      (await createProgram([name, '--help'])).commands.map((one) => one.name()),
      [name],
    )
  for (const other of ['--help', 'help', 'recovr', 'constructor'])
    t.same(
      (await createProgram([other])).commands.map((one) => one.name()),
      all,
      other,
    )
})
