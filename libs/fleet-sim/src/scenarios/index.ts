// What the command line takes of the simulated fleet: the planner's world alone, without kernels, gates and sessions.
export { type Act, readScenario, type Scenario, type ScenarioFault } from './scenario.js'
export { type Played, playScenario } from './run.js'
export { scenarioNames, scenarioText } from './library.js'
