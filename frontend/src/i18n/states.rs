texts! {
    /// States of things, and roles.
    States {
        connecting: "Connecting", "连接中";
        active: "Active", "正常";
        reconnecting: "Reconnecting", "重新连接中";
        inactive: "Inactive", "已停用";
        draining: "Draining", "排空中";
        error: "Error", "错误";
        created: "Created", "已创建";
        running: "Running", "运行中";
        paused: "Paused", "已暂停";
        restarting: "Restarting", "重启中";
        removing: "Removing", "移除中";
        exited: "Exited", "已退出";
        dead: "Dead", "已失效";
        starting: "Starting", "启动中";
        healthy: "Healthy", "健康";
        unhealthy: "Unhealthy", "不健康";
        installing: "Installing", "安装中";
        degraded: "Degraded", "已降级";
        upgrading: "Upgrading", "升级中";
        failed: "Failed", "失败";
        stopped: "Stopped", "已停止";
        queued: "Queued", "排队中";
        succeeded: "Succeeded", "成功";
        cancelled: "Cancelled", "已取消";
        success: "Success", "成功";
        denied: "Denied", "已拒绝";
        failure: "Failure", "失败";
        readonly: "Read-only", "只读";
        restricted: "Restricted", "受限成员";
        member: "Member", "成员";
        owner: "Owner", "所有者";
        readonly_help: "Sees everything but secret values; reads logs.", "可查看除机密值以外的所有内容；可读取日志。";
        restricted_help: "Works with stacks, containers, shells, volumes and secrets.", "可操作应用栈、容器、终端、卷和机密。";
        member_help: "And hosts, infrastructure and privileged containers.", "另可管理主机、基础设施和特权容器。";
        owner_help: "And members, roles and the environment itself.", "另可管理成员、角色和环境本身。";
        admin: "Administrator", "管理员";
        user: "User", "普通用户";
    }
}
