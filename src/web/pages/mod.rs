//! One file a page, one line a route.

pub mod access;
mod account;
mod activity;
mod app;
mod apps;
mod artifacts;
mod config;
pub mod dashboard;
mod event;
mod find;
mod keys;
mod login;
mod own;
mod pings;
mod prove;
mod reference;
pub mod restore;
mod retention;
pub mod run;
mod schedule;
mod second_factor;
mod setup;
mod sso;
mod system;
mod theme;
mod trigger;
mod upload;
mod users;
mod webhooks;
mod wizard;

pub use self::app::live as app_live;

use poem::{Route, get, post};

pub fn routes() -> Route {
    Route::new()
        .at("/", get(dashboard::show))
        .at("/login", get(login::show).post(login::log_in))
        .at("/login/sso", get(sso::log_in))
        .at("/login/sso/return", get(sso::come_back))
        .at("/logout", post(login::log_out))
        .at("/setup", get(setup::show).post(setup::set_up))
        .at("/theme", post(theme::choose))
        .at("/apps", get(apps::show))
        .at("/apps/new", get(apps::add_form).post(apps::add))
        .at("/apps/:slug", get(app::show))
        .at("/apps/:slug/activity", get(activity::show_app))
        .at("/apps/:slug/run", post(app::back_up))
        .at(
            "/apps/:slug/upload-restore",
            get(upload::show).post(upload::request),
        )
        .at(
            "/apps/:slug/configs/new",
            get(wizard::begin).post(config::create),
        )
        .at(
            "/apps/:slug/configs/new/:step",
            get(wizard::show).post(wizard::enter),
        )
        .at("/apps/:slug/configs/all", get(config::create_form))
        .at("/configs/:id", get(config::edit_form).post(config::change))
        .at("/configs/:id/run", post(config::back_up))
        .at("/configs/:id/switch", post(config::switch))
        .at("/configs/:id/retention", get(retention::show))
        .at("/configs/:id/delete", post(config::delete))
        .at(
            "/configs/:id/trigger",
            get(trigger::show).post(trigger::issue),
        )
        .at("/configs/:id/trigger/revoke", post(trigger::revoke))
        .at("/configs/:id/pings", get(pings::show))
        .at("/configs/:id/pings/again", post(pings::again))
        .at("/keys", get(keys::show).post(keys::make))
        .at("/schedule", get(schedule::preview))
        .at("/retention", get(retention::foretell))
        .at("/targets/trial", post(config::try_target))
        .at("/runs/:id", get(run::show))
        .at("/runs/:id/cancel", post(run::cancel))
        .at("/runs/:id/verify", post(run::verify))
        .at("/runs/:id/copies/:copy", post(run::copy_again))
        .at("/runs/:id/by-hand", get(run::by_hand))
        .at("/runs/:id/download", get(run::download))
        .at(
            "/runs/:id/restore",
            get(restore::preview_form).post(restore::request),
        )
        .at("/restores/:id", get(restore::show))
        .at("/restores/:id/undo", post(restore::undo))
        .at("/restores/:id/cancel", post(restore::cancel))
        .at("/activity", get(activity::show))
        .at("/activity/:position", get(event::show))
        .at("/find", get(find::show))
        .at("/api-reference", get(reference::show))
        .at("/system/backup", get(own::show).post(own::change))
        .at("/system/backup/run", post(own::back_up))
        .at("/system/backup/download", post(own::download))
        .at("/account", get(account::show))
        .at("/prove", get(prove::show).post(prove::prove))
        .at("/prove/sso", get(sso::prove_it))
        .at(
            "/account/second-factor",
            get(second_factor::show).post(second_factor::enrol),
        )
        .at(
            "/account/second-factor/confirmation",
            post(second_factor::confirm),
        )
        .at("/account/second-factor/remove", post(second_factor::remove))
        .at("/account/tokens", post(account::issue))
        .at("/account/tokens/:id/revoke", post(account::revoke))
        .at("/account/sessions/:id/end", post(account::end_session))
        .at("/system", get(system::show))
        .at("/system/log-check", post(system::check_log))
        .at("/system/rebuild", post(system::rebuild))
        .at("/system/artifacts", get(artifacts::show))
        .at("/system/artifacts/adopt", post(artifacts::adopt))
        .at("/system/artifacts/delete", post(artifacts::delete))
        .at("/system/artifacts/verify", post(artifacts::verify))
        .at("/users", get(users::show).post(users::add))
        .at("/users/:id", post(users::change))
        .at("/users/:id/switch", post(users::switch))
        .at("/users/:id/delete", post(users::delete))
        .at("/webhooks", get(webhooks::show).post(webhooks::add))
        .at("/webhooks/:id/test", post(webhooks::test))
        .at("/webhooks/:id/switch", post(webhooks::switch))
        .at("/webhooks/:id/delete", post(webhooks::delete))
        .at(
            "/webhooks/deliveries/:id/redeliver",
            post(webhooks::redeliver),
        )
}
