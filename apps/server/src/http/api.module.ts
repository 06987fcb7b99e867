// The API's parts list.
import { type DynamicModule, Module } from '@nestjs/common'
import { APP_FILTER, APP_GUARD, DiscoveryModule } from '@nestjs/core'
import { AccessGuard } from '../access/guard.js'
import { TokenBook } from '../access/tokens.js'
import { TokensController } from '../access/tokens.controller.js'
import { EventsController } from '../events/events.controller.js'
import { Feed } from '../events/feed.js'
import { HostsController } from '../hosts/hosts.controller.js'
import { HostsService } from '../hosts/hosts.service.js'
import { HaltsController } from '../patches/halts.controller.js'
import { PatchesController } from '../patches/patches.controller.js'
import { PatchesService } from '../patches/patches.service.js'
import { Parts } from '../roles/parts.js'
import { PlannerService } from '../rollouts/planner.service.js'
import { WindowsController } from '../windows/windows.controller.js'
import { RolloutsController } from '../rollouts/rollouts.controller.js'
import { RolloutsService } from '../rollouts/rollouts.service.js'
import { AboutController } from './about.controller.js'
import { ProblemFilter } from './problem-filter.js'

@Module({})
export class ApiModule {}

export const apiModule = (parts: Parts): DynamicModule => ({
  module: ApiModule,
  imports: [DiscoveryModule],
  controllers: [AboutController, TokensController, HostsController, PatchesController, HaltsController, RolloutsController, WindowsController, EventsController],
  providers: [
    { provide: Parts, useValue: parts },
    { provide: TokenBook, useFactory: () => new TokenBook(parts.store) },
    { provide: APP_GUARD, useClass: AccessGuard }, { provide: APP_FILTER, useClass: ProblemFilter },
    Feed, HostsService, PatchesService, PlannerService, RolloutsService,
  ],
})
