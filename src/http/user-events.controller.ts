import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { DepartedUsers } from '../departures/departed-users';
import { DONE, type Envelope } from './envelope';
import { EventRoute } from './route-sender';
import { userOfEvent } from './user-event';

/** System events of Olares (contract, section 7). Their sender waits 2 s and repeats whatever is answered with 400 or more. */
@Controller('user')
@EventRoute()
export class UserEventsController {
  constructor(private readonly departedUsers: DepartedUsers) {}

  @Post('create')
  @HttpCode(200)
  async created(@Body() body: unknown): Promise<Envelope<''>> {
    await this.departedUsers.userCreated(userOfEvent(body));
    return DONE;
  }

  /** Answered when it is written down; the removal goes on in the background. */
  @Post('delete')
  @HttpCode(200)
  async deleted(@Body() body: unknown): Promise<Envelope<''>> {
    await this.departedUsers.userDeleted(userOfEvent(body));
    return DONE;
  }
}
